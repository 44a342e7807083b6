//! Special and added tokens that the files beside a `tokenizer.json` name.

use tokenizers::AddedToken;

use crate::error::{Error, Result};
use crate::json::{Json, Object};

/// Keys of special tokens, in the order in which transformers adds them.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Key of the added tokens by their ids.
pub(crate) const DECODER: &str = "added_tokens_decoder";
/// Keys of special tokens without names of their own.
const EXTRA: &str = "extra_special_tokens";
const SPECIFIC: &str = "model_specific_special_tokens";

/// Whether a key names a special token.
pub(crate) fn is_token_key(key: &str) -> bool {
    key.ends_with("_token")
}

pub(crate) fn special(content: &str) -> AddedToken {
    AddedToken::from(content, true)
}

/// Whether a key names one of the special tokens that every tokenizer has.
pub(crate) fn is_named(key: &str) -> bool {
    NAMED.contains(&key)
}

/// Fields of a token.
const FIELDS: [&str; 7] = ["__type", "content", "single_word", "lstrip", "rstrip", "normalized", "special"];

/// Reads a token, which a config has as a string or an object.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn read_token(value: &Json, key: &str) -> Result<AddedToken> {
    let none = || Error::Invalid(format!("{key}: expected a token, got {value}"));
    let object = match value {
        Json::String(content) => return Ok(special(content)),
        Json::Object(object) => object,
        _ => return Err(none()),
    };
    let flag = |name: &str| match object.get(name) {
        None => Ok(None),
        Some(Json::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(Error::Invalid(format!("{key}: {name}: expected true or false, got {other}"))),
    };
    let special = flag("special")?.unwrap_or(false);
    Ok(AddedToken {
        content: object.get("content").and_then(Json::as_str).ok_or_else(none)?.into(),
        single_word: flag("single_word")?.unwrap_or(false),
        lstrip: flag("lstrip")?.unwrap_or(false),
        rstrip: flag("rstrip")?.unwrap_or(false),
        normalized: flag("normalized")?.unwrap_or(!special),
        special,
    })
}

/// The special tokens that a config names, each with its key, in the order in which they are added.
fn named_values(config: &Object) -> Result<Vec<(&str, &Json)>> {
    let given = |key: &str| config.get(key).filter(|value| **value != Json::Null);
    let named = NAMED.into_iter().filter_map(|key| Some((key, given(key)?)));
    // flags, as add_bos_token, end alike
    let is_token = |value: &Json| matches!(value, Json::String(_) | Json::Object(_));
    let others = config.iter().filter(|(key, value)| is_token_key(key) && !is_named(key) && is_token(value));
    let mut found: Vec<_> = named.chain(others.map(|(key, value)| (key.as_str(), value))).collect();
    if let Some(value) = given(SPECIFIC) {
        let Json::Object(tokens) = value else {
            return Err(Error::Invalid(format!("{SPECIFIC}: expected an object of tokens, got {value}")));
        };
        found.extend(tokens.values().map(|token| (SPECIFIC, token)));
    }
    if let Some(value) = given(EXTRA).or_else(|| given("additional_special_tokens")) {
        found.extend(items(value, EXTRA)?.into_iter().map(|token| (EXTRA, token)));
    }
    Ok(found)
}

/// Returns the special tokens that a config names, in the order in which they are added.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn named_tokens(config: &Object) -> Result<Vec<AddedToken>> {
    named_values(config)?.into_iter().map(|(key, value)| read_token(value, key)).collect()
}

/// Fields of tokens that no token has, each after its key.
pub(crate) fn unknown_fields(config: &Object) -> Vec<String> {
    let decoder = match config.get(DECODER) {
        Some(Json::Object(tokens)) => tokens.values().map(|token| (DECODER, token)).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (key, token) in decoder.into_iter().chain(named_values(config).unwrap_or_default()) {
        let Json::Object(token) = token else { continue };
        for field in token.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
            let name = format!("{key}: {field}");
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    found
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
///
/// # Errors
/// `invalid-tokenizer` for an entry without one.
fn by_id<'a>(
    object: &'a Object,
    file: &str,
    id: impl Fn(&str, &Json) -> Option<f64>,
) -> Result<Vec<(&'a str, &'a Json)>> {
    let mut entries = Vec::new();
    for (key, value) in object {
        let id = id(key, value);
        let id =
            id.ok_or_else(|| Error::Invalid(format!("{file}: expected an id for each token, got \"{key}\": {value}")))?;
        entries.push((id, (key.as_str(), value)));
    }
    entries.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// Tokens of an `added_tokens_decoder`, by their ids.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn decoder_tokens(decoder: &Json) -> Result<Vec<AddedToken>> {
    let Json::Object(object) = decoder else {
        return Err(Error::Invalid(format!("{DECODER}: expected an object of tokens by their ids, got {decoder}")));
    };
    let entries = by_id(object, DECODER, |key, _| key.trim().parse::<i64>().ok().map(|id| id as f64))?;
    let read = |(_, token): (&str, &Json)| match token {
        Json::Object(_) => read_token(token, DECODER),
        other => Err(Error::Invalid(format!("{DECODER}: expected a token as an object, got {other}"))),
    };
    entries.into_iter().map(read).collect()
}

/// Tokens of an `added_tokens.json`, by their ids; special are those that the config names.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn listed_tokens(added: &Object, named: &[AddedToken]) -> Result<Vec<AddedToken>> {
    let token = |(content, _): (&str, &Json)| {
        let is_named = named.iter().any(|token| token.content == content);
        AddedToken { normalized: !is_named, special: is_named, ..special(content) }
    };
    Ok(by_id(added, "added_tokens.json", |_, id| id.as_f64())?.into_iter().map(token).collect())
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
        let listed = listed_tokens(&object(r#"{"y":2,"x":1}"#), &[special("y")]).unwrap();
        assert_eq!(contents(&listed), ["x", "y"]);
        assert!(!listed[0].special && listed[1].special);
    }

    /// As transformers 5.24 with tokenizers 0.23, which raise an error for each of them.
    #[test]
    fn what_is_no_token_is_refused() {
        for (config, expected) in [
            (r#"{"eos_token":{"special":true}}"#, r#"eos_token: expected a token, got {"special":true}"#),
            (r#"{"eos_token":[]}"#, "eos_token: expected a token, got []"),
            (r#"{"eos_token":7}"#, "eos_token: expected a token, got 7"),
            (r#"{"eos_token":false}"#, "eos_token: expected a token, got false"),
            (
                r#"{"eos_token":{"content":"a","lstrip":"true"}}"#,
                "eos_token: lstrip: expected true or false, got \"true\"",
            ),
            (r#"{"extra_special_tokens":[7]}"#, "extra_special_tokens: expected a token, got 7"),
            (r#"{"extra_special_tokens":"a"}"#, "extra_special_tokens: expected a list of tokens, got \"a\""),
            (
                r#"{"model_specific_special_tokens":["a"]}"#,
                "model_specific_special_tokens: expected an object of tokens, got [\"a\"]",
            ),
        ] {
            let error = named_tokens(&object(config)).unwrap_err();
            assert_eq!(error, Error::Invalid(expected.into()));
        }
        for (decoder, expected) in [
            (r#"{"1":null}"#, "added_tokens_decoder: expected a token as an object, got null"),
            (r#"{"1":"a"}"#, "added_tokens_decoder: expected a token as an object, got \"a\""),
            (
                r#"{"x":{"content":"a"}}"#,
                "added_tokens_decoder: expected an id for each token, got \"x\": {\"content\":\"a\"}",
            ),
            (
                r#"{"1":{"content":"a","normalized":null}}"#,
                "added_tokens_decoder: normalized: expected true or false, got null",
            ),
            (r#"["a"]"#, "added_tokens_decoder: expected an object of tokens by their ids, got [\"a\"]"),
            ("7", "added_tokens_decoder: expected an object of tokens by their ids, got 7"),
        ] {
            let error = decoder_tokens(&object(&format!(r#"{{"d":{decoder}}}"#))["d"]).unwrap_err();
            assert_eq!(error, Error::Invalid(expected.into()));
        }
        let added = listed_tokens(&object(r#"{"a":"9"}"#), &[]).unwrap_err();
        assert_eq!(added, Error::Invalid("added_tokens.json: expected an id for each token, got \"a\": \"9\"".into()));
    }

    #[test]
    fn fields_that_no_token_has_are_named() {
        let config = object(
            r#"{"eos_token":{"content":"a","wobble":1},"added_tokens_decoder":{"1":{"content":"b","id":1},"2":{"content":"c","id":2}}}"#,
        );
        assert_eq!(unknown_fields(&config), ["added_tokens_decoder: id", "eos_token: wobble"]);
    }
}
