//! Special and added tokens that the files beside a `tokenizer.json` name.

use tokenizers::AddedToken;

use crate::error::{Error, Result};
use crate::json::{Json, Object};

/// Keys of special tokens, in the order in which transformers adds them.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Whether a key names a special token.
pub(crate) fn is_token_key(key: &str) -> bool {
    key.ends_with("_token")
}

pub(crate) fn special(content: &str) -> AddedToken {
    AddedToken::from(content, true)
}

/// Reads a token, which a config has as a string or an object.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn read_token(value: &Json, key: &str) -> Result<AddedToken> {
    let object = match value {
        Json::String(content) => return Ok(special(content)),
        Json::Object(object) => Some(object),
        _ => None,
    };
    let field = |name: &str| object.and_then(|object| object.get(name));
    let flag = |name: &str| field(name).is_some_and(Json::is_true);
    let Some(content) = field("content").and_then(Json::as_str) else {
        return Err(Error::Invalid(format!("{key}: expected a token, got {value}")));
    };
    let special = flag("special");
    let normalized = match field("normalized") {
        Some(Json::Bool(normalized)) => *normalized,
        _ => !special,
    };
    Ok(AddedToken {
        content: content.into(),
        single_word: flag("single_word"),
        lstrip: flag("lstrip"),
        rstrip: flag("rstrip"),
        normalized,
        special,
    })
}

/// Returns the special tokens that a config names, in the order in which they are added.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn named_tokens(config: &Object) -> Result<Vec<AddedToken>> {
    let others = config.keys().map(String::as_str).filter(|key| is_token_key(key) && !NAMED.contains(key));
    let mut found = Vec::new();
    for key in NAMED.into_iter().chain(others) {
        // flags, as add_bos_token, end alike
        if let Some(value @ (Json::String(_) | Json::Array(_) | Json::Object(_))) = config.get(key) {
            found.push(read_token(value, key)?);
        }
    }
    let list = |key: &str| config.get(key).filter(|value| **value != Json::Null);
    let extra = list("extra_special_tokens").or_else(|| list("additional_special_tokens"));
    for (key, value) in
        [("model_specific_special_tokens", list("model_specific_special_tokens")), ("extra_special_tokens", extra)]
    {
        for token in value.map_or(Ok(Vec::new()), |value| items(value, key))? {
            found.push(read_token(token, key)?);
        }
    }
    Ok(found)
}

/// The values of a list, or of an object with a name for each.
fn items<'a>(value: &'a Json, key: &str) -> Result<Vec<&'a Json>> {
    match value {
        Json::Array(items) => Ok(items.iter().collect()),
        Json::Object(object) => Ok(object.values().collect()),
        _ => Err(Error::Invalid(format!("{key}: expected a list of tokens, got {value}"))),
    }
}

/// Entries of an object by their number: the id in the key, or in the value.
fn by_id(object: &Object, id: impl Fn(&str, &Json) -> Option<f64>) -> Vec<(&str, &Json)> {
    let mut entries: Vec<_> = object.iter().map(|(key, value)| (key.as_str(), value)).collect();
    entries.sort_by(|a, b| id(a.0, a.1).partial_cmp(&id(b.0, b.1)).unwrap_or(core::cmp::Ordering::Equal));
    entries
}

/// Tokens of an `added_tokens_decoder`, by their ids.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn decoder_tokens(decoder: &Json) -> Result<Vec<AddedToken>> {
    const KEY: &str = "added_tokens_decoder";
    let tokens = match decoder {
        Json::Object(object) => by_id(object, |key, _| key.parse().ok()).into_iter().map(|(_, token)| token).collect(),
        _ => items(decoder, KEY)?,
    };
    tokens.into_iter().map(|token| read_token(token, KEY)).collect()
}

/// Tokens of an `added_tokens.json`, by their ids; special are those that the config names.
pub(crate) fn listed_tokens(added: &Object, named: &[AddedToken]) -> Vec<AddedToken> {
    let token = |(content, _): (&str, &Json)| {
        let is_named = named.iter().any(|token| token.content == content);
        AddedToken { normalized: !is_named, special: is_named, ..special(content) }
    };
    by_id(added, |_, id| id.as_f64()).into_iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    fn object(json: &str) -> Object {
        parse_object(Some(json), "test").unwrap()
    }

    fn contents(tokens: &[AddedToken]) -> Vec<&str> {
        tokens.iter().map(|token| token.content.as_str()).collect()
    }

    #[test]
    fn named_tokens_come_in_the_order_of_transformers() {
        let config = object(
            r#"{"boi_token":"<i>","pad_token":{"content":"<p>","lstrip":true},"add_bos_token":true,"eos_token":"</s>",
                "additional_special_tokens":["<a>","<b>"],"model_specific_special_tokens":{"x":"<z>","y":"<c>"}}"#,
        );
        let named = named_tokens(&config).unwrap();
        assert_eq!(contents(&named), ["</s>", "<p>", "<i>", "<z>", "<c>", "<a>", "<b>"]);
        assert!(named[1].lstrip && named[1].normalized && !named[1].special && !named[0].normalized);
    }

    #[test]
    fn added_tokens_come_by_their_ids() {
        let decoder = object(r#"{"d":{"10":{"content":"b","special":true},"9":{"content":"a"}}}"#);
        let tokens = decoder_tokens(&decoder["d"]).unwrap();
        assert_eq!(contents(&tokens), ["a", "b"]);
        assert!(tokens[0].normalized && !tokens[1].normalized);
        let listed = listed_tokens(&object(r#"{"y":2,"x":1}"#), &[special("y")]);
        assert_eq!(contents(&listed), ["x", "y"]);
        assert!(!listed[0].special && listed[1].special);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for (config, expected) in [
            (r#"{"eos_token":{"special":true}}"#, r#"eos_token: expected a token, got {"special":true}"#),
            (r#"{"eos_token":[]}"#, "eos_token: expected a token, got []"),
            (r#"{"extra_special_tokens":[7]}"#, "extra_special_tokens: expected a token, got 7"),
            (r#"{"extra_special_tokens":"a"}"#, "extra_special_tokens: expected a list of tokens, got \"a\""),
        ] {
            let error = named_tokens(&object(config)).unwrap_err();
            assert_eq!(error, Error::Invalid(expected.into()));
        }
        assert!(decoder_tokens(&object(r#"{"d":{"1":null}}"#)["d"]).is_err());
    }
}
