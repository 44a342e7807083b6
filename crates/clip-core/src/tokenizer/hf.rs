//! Reads and writes CLIP's tokenizer in Hugging Face's files: `tokenizer.json`, or `vocab.json` and `merges.txt`, and those that list
//! special and added tokens. Follows transformers 5.24:
//! <https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/tokenization_utils_base.py>.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::added::AddedTokens;
use super::hf_options::HfOptions;
use super::{END, Reference, START, Tokenizer};
use crate::config::short;
use crate::error::{ClipError, Result};

/// A tokenizer's files, as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`; takes precedence over `merges` and `vocab`.
    pub tokenizer: Option<&'a str>,
    /// `merges.txt`.
    pub merges: Option<&'a str>,
    /// `vocab.json`, whose ids must be those of the merges.
    pub vocab: Option<&'a str>,
    /// `tokenizer_config.json`.
    pub config: Option<&'a str>,
    /// `special_tokens_map.json`.
    pub special_tokens: Option<&'a str>,
    /// `added_tokens.json`.
    pub added_tokens: Option<&'a str>,
}

pub(super) fn invalid(message: impl Into<String>) -> ClipError {
    ClipError::InvalidTokenizer { message: message.into() }
}

impl Tokenizer {
    /// Reads a tokenizer from its files; `None` without `tokenizer` and `merges`. Unsupported and unknown keys are added to
    /// `warnings`.
    ///
    /// OpenCLIP's and OpenAI's tokenizers have only merges; the rest is Hugging Face's.
    ///
    /// # Errors
    /// `invalid-tokenizer` for an encoding that is not CLIP's, or for ids in another order.
    pub fn from_files(
        files: &TokenizerFiles<'_>,
        reference: Reference,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>> {
        let (tokenizer, _) = read(files, reference, warnings)?;
        Ok(tokenizer)
    }

    /// Checks that a vocabulary has the ids of the merges.
    fn check_vocab(&self, vocab: &Map<String, Value>, file: &str) -> Result<()> {
        for (id, symbol) in self.symbols().iter().map(String::as_str).chain([START, END]).enumerate() {
            let got = vocab.get(symbol);
            if got.and_then(Value::as_u64) != Some(id as u64) {
                let got = got.map_or("no id".into(), short);
                return Err(invalid(format!("{file}: expected {symbol:?} to have the id {id}, got {got}")));
            }
        }
        match vocab.iter().find(|(_, id)| id.as_u64().is_none_or(|id| id > MAX_ID)) {
            Some((token, id)) => Err(invalid(format!("{file}: {token:?}: expected an id, got {}", short(id)))),
            None => Ok(()),
        }
    }

    /// Applies the options; `vocab` gives the ids of further tokens.
    ///
    /// # Errors
    /// `invalid-tokenizer` for a special token without an id.
    pub(crate) fn with_options(mut self, options: &HfOptions, vocab: Option<&Map<String, Value>>) -> Result<Self> {
        if !self.reference.is_hf() {
            return Ok(self);
        }
        let symbols = self.symbols();
        let ids: HashMap<&str, i32> = symbols.iter().map(String::as_str).chain([START, END]).zip(0..).collect();
        let known = |token: &str| ids.get(token).copied().or_else(|| Some(vocab?.get(token)?.as_u64()? as i32));
        let vocab_size = vocab.map_or(ids.len(), Map::len);
        let mut added = AddedTokens::new(options.split_special);
        added.extend(options.added.iter().cloned(), known, vocab_size);
        let id = |name: &Option<String>, default: i32| match name {
            None => Ok(default),
            Some(token) => added
                .id(token)
                .ok_or_else(|| invalid(format!("the special token {token:?} is not among the added tokens"))),
        };
        (self.start, self.end) = (id(&options.start, self.start)?, id(&options.end, self.end)?);
        self.pad = id(&options.pad, self.pad)?;
        (self.padding_side, self.truncation_side) = (options.padding_side, options.truncation_side);
        self.added = added;
        Ok(self)
    }

    /// Special and added tokens with their ids.
    pub(crate) fn added(&self) -> impl Iterator<Item = (&str, i32)> {
        self.added.iter().map(|(token, id)| (token.content.as_str(), *id))
    }

    /// Returns `vocab.json`: ids by spelling, without added tokens.
    pub fn vocab_json(&self) -> Map<String, Value> {
        let symbols = self.symbols().into_iter().chain([START.to_owned(), END.to_owned()]);
        object(symbols.zip(0_u32..).map(|(symbol, id)| (symbol, id.into())))
    }

    /// Returns the `tokenizer_config.json` from which transformers 4 and 5 build the same tokenizer.
    pub fn config_json(&self) -> Value {
        let name = |id: i32, default: &str| {
            self.added().find(|&(_, other)| other == id).map_or(default, |(token, _)| token).to_owned()
        };
        let mut json = json!({
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": name(self.start, START),
            "eos_token": name(self.end, END),
            "unk_token": END,
            "pad_token": name(self.pad, END),
            "padding_side": self.padding_side.name(),
            "truncation_side": self.truncation_side.name(),
        });
        if self.added.splits_special() {
            json["split_special_tokens"] = true.into();
        }
        let decoder = object(self.added.iter().map(|(token, id)| (id.to_string(), token.to_json())));
        if !decoder.is_empty() {
            json["added_tokens_decoder"] = decoder.into();
        }
        json
    }
}

/// Inserts one by one: `collect` would sort, whose code is another hundredth of the module.
fn object(entries: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}

/// Reads the tokenizer, `None` without a vocabulary, and its options.
pub(crate) fn read(
    files: &TokenizerFiles<'_>,
    reference: Reference,
    warnings: &mut Vec<String>,
) -> Result<(Option<Tokenizer>, HfOptions)> {
    let mut json = files.tokenizer.map(|json| parse(json, "tokenizer.json")).transpose()?;
    let options = HfOptions::read(files, json.as_ref(), reference, warnings)?;
    let (name, merges, vocab) = match (&mut json, files.merges) {
        (Some(json), _) => {
            let mut model = json.remove("model").unwrap_or_default();
            let text = |key: &str| model.get(key).and_then(Value::as_str);
            let kind = (text("type").unwrap_or("BPE"), text("end_of_word_suffix"));
            if kind != ("BPE", Some("</w>")) {
                let (kind, suffix) = (kind.0, kind.1.unwrap_or("no suffix"));
                return Err(invalid(format!(
                    "tokenizer.json: expected a BPE with the suffix </w>, got {kind} with {suffix}"
                )));
            }
            // not cloned: it has tens of thousands of tokens
            let Some(Value::Object(vocab)) = model.get_mut("vocab").map(Value::take) else {
                return Err(invalid("tokenizer.json: the model has no vocab"));
            };
            ("tokenizer.json", merges_of(&model)?, Some(vocab))
        }
        (None, Some(merges)) => {
            let vocab = files.vocab.map(|json| parse(json, "vocab.json")).transpose()?;
            ("vocab.json", merges.to_owned(), vocab)
        }
        (None, None) => return Ok((None, options)),
    };
    let tokenizer = Tokenizer::from_merges(&merges, reference)?;
    if let Some(vocab) = &vocab {
        tokenizer.check_vocab(vocab, name)?;
    }
    Ok((Some(tokenizer.with_options(&options, vocab.as_ref())?), options))
}

/// Merges of a `tokenizer.json`, one per line. Older files write `"a b"`, newer ones `["a", "b"]`.
fn merges_of(model: &Value) -> Result<String> {
    let list = model.get("merges").and_then(Value::as_array);
    let list = list.ok_or_else(|| invalid("tokenizer.json: the model has no merges"))?;
    let mut lines = String::new();
    for merge in list {
        let pair = merge.as_array().map(Vec::as_slice);
        match (merge.as_str(), pair) {
            (Some(line), _) => lines.push_str(line),
            (None, Some([Value::String(left), Value::String(right)])) => lines.extend([left.as_str(), " ", right]),
            _ => {
                return Err(invalid(format!(
                    "tokenizer.json: expected two symbols in each merge, got {}",
                    short(merge)
                )));
            }
        }
        lines.push('\n');
    }
    Ok(lines)
}

/// Limit of ids, which are i32.
pub(super) const MAX_ID: u64 = i32::MAX as u64 - 1;

pub(super) fn parse(json: &str, file: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(invalid(format!("{file}: expected an object, got {}", short(&other)))),
        Err(e) => Err(invalid(format!("{file}: {e}"))),
    }
}

/// Quotes the first few tokens, for messages.
pub(crate) fn quoted(tokens: &[&str]) -> String {
    let shown: Vec<String> =
        tokens.iter().take(5).map(|t| format!("{:?}", t.chars().take(40).collect::<String>())).collect();
    let more = tokens.len() - shown.len();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `tokenizer.json` of `merges`.
    fn tokenizer_json(merges: &str, change: impl FnOnce(&mut Value)) -> String {
        let plain = Tokenizer::from_merges(merges, Reference::Hf).unwrap();
        let mut value = json!({
            "model": { "type": "BPE", "end_of_word_suffix": "</w>", "vocab": plain.vocab_json(), "merges": merges.lines().collect::<Vec<_>>() },
            "added_tokens": [{ "content": END, "normalized": false, "special": true }],
        });
        change(&mut value);
        value.to_string()
    }

    fn open(json: &str) -> Result<Tokenizer> {
        let files = TokenizerFiles { tokenizer: Some(json), ..TokenizerFiles::default() };
        Ok(Tokenizer::from_files(&files, Reference::Hf, &mut Vec::new())?.unwrap())
    }

    #[test]
    fn merges_of_older_and_newer_files_are_read() {
        let merges = "c a\nca t</w>";
        let lines = open(&tokenizer_json(merges, |_| {})).unwrap();
        let pairs = tokenizer_json(merges, |v| v["model"]["merges"] = json!([["c", "a"], ["ca", "t</w>"]]));
        assert_eq!(lines.encode("a cat"), open(&pairs).unwrap().encode("a cat"));
        assert_eq!(lines.encode("cat").len(), 3);
    }

    #[test]
    fn normalized_special_tokens_are_matched_after_lower_casing() {
        let late = tokenizer_json("c a", |v| v["added_tokens"][0]["normalized"] = true.into());
        let (plain, late) = (open(&tokenizer_json("c a", |_| {})).unwrap(), open(&late).unwrap());
        assert_eq!((plain.encode("<|ENDOFTEXT|>").len() > 3, late.encode("<|ENDOFTEXT|>").len()), (true, 3));
    }

    #[test]
    fn values_of_other_types_are_refused_or_named() {
        let json = tokenizer_json("c a", |_| {});
        let read = |config: &str| {
            let files = TokenizerFiles { tokenizer: Some(&json), config: Some(config), ..TokenizerFiles::default() };
            let mut warnings = Vec::new();
            Tokenizer::from_files(&files, Reference::Hf, &mut warnings).map(|_| warnings)
        };
        for (config, message) in [
            (r#"{"split_special_tokens": "yes"}"#, "split_special_tokens: expected true or false, got \"yes\""),
            (r#"{"added_tokens_decoder": ["a"]}"#, "added_tokens_decoder: expected an object, got [\"a\"]"),
            (r#"{"eos_token": 7}"#, "eos_token: expected a token, got 7"),
            (r#"{"added_tokens_decoder": {"1": {"content": "a", "lstrip": "true"}}}"#, "expected a token, got {"),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.code() == "invalid-tokenizer" && error.to_string().contains(message), "{error}");
        }
        let named = read(r#"{"boi_token": 7, "add_bos_token": true}"#).unwrap();
        assert_eq!(named, ["tokenizer_config.json: boi_token is not known and was not used"]);
    }

    #[test]
    fn other_encodings_are_refused() {
        let refuse = |json: String, message: &str| {
            let error = open(&json).unwrap_err();
            assert!(error.code() == "invalid-tokenizer" && error.to_string().contains(message), "{error}");
        };
        let change = |change: fn(&mut Value)| tokenizer_json("c a", change);
        refuse(change(|v| v["model"]["vocab"]["ca"] = 7.into()), "expected \"ca\" to have the id 512, got 7");
        refuse(change(|v| v["model"]["type"] = "Unigram".into()), "got Unigram");
        refuse(change(|v| v["model"]["end_of_word_suffix"] = Value::Null), "no suffix");
        refuse("<html>".into(), "tokenizer.json");
    }
}
