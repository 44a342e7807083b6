//! `tokenizer.json` and `tokenizer_config.json` as Hugging Face publishes them for CLIP.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Padding, Reference, Tokenizer};
use crate::error::{ClipError, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    end_of_word_suffix: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// A merge in the older spelling, `"a b"`, or the newer, `["a", "b"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair([String; 2]),
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
    #[serde(default)]
    normalized: bool,
}

fn invalid(message: impl Into<String>) -> ClipError {
    ClipError::InvalidTokenizer { message: message.into() }
}

impl Tokenizer {
    /// A tokenizer from `tokenizer.json`. For `Reference::Hf`, the file itself says whether special tokens are looked for
    /// before or after lower-casing.
    ///
    /// # Errors
    /// `invalid-tokenizer` for a file that is not CLIP's byte-pair encoding, or that numbers its tokens in another order.
    pub fn from_json(json: &str, reference: Reference) -> Result<Self> {
        let file: File = serde_json::from_str(json).map_err(|e| invalid(format!("tokenizer.json: {e}")))?;
        let kind = (file.model.kind.as_deref().unwrap_or("BPE"), file.model.end_of_word_suffix.as_deref());
        if kind != ("BPE", Some("</w>")) {
            let (kind, suffix) = (kind.0, kind.1.unwrap_or("no suffix"));
            return Err(invalid(format!(
                "tokenizer.json: expected a BPE with the suffix </w>, got {kind} with {suffix}"
            )));
        }
        let merges: String = file
            .model
            .merges
            .iter()
            .map(|merge| match merge {
                Merge::Line(line) => format!("{line}\n"),
                Merge::Pair([left, right]) => format!("{left} {right}\n"),
            })
            .collect();
        let normalized = file.added_tokens.iter().any(|token| token.content == END && token.normalized);
        let reference = if reference == Reference::Hf && normalized { Reference::HfNormalized } else { reference };
        let tokenizer = Self::from_merges(&merges, reference)?;
        let symbols = tokenizer.bpe.symbols();
        for (id, symbol) in symbols.iter().map(String::as_str).chain([START, END]).enumerate() {
            let got = file.model.vocab.get(symbol);
            if got.map(|&id| id as usize) != Some(id) {
                let got = got.map_or("none".into(), u32::to_string);
                return Err(invalid(format!("tokenizer.json: expected {symbol:?} to have the id {id}, got {got}")));
            }
        }
        Ok(tokenizer)
    }
}

impl Padding {
    /// What `pad_token` of a `tokenizer_config.json` says, where it says one of the two.
    ///
    /// # Errors
    /// `invalid-tokenizer` for what is no JSON.
    pub fn from_tokenizer_config(json: &str) -> Result<Option<Self>> {
        let value: Value = serde_json::from_str(json).map_err(|e| invalid(format!("tokenizer_config.json: {e}")))?;
        let token = &value["pad_token"];
        Ok(match token.as_str().or(token["content"].as_str()) {
            Some(END) => Some(Self::End),
            Some("!") => Some(Self::Zero), // the token of id 0
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoding of `merges`, as a `tokenizer.json`.
    fn json(merges: &str, change: impl FnOnce(&mut Value)) -> String {
        let plain = Tokenizer::from_merges(merges, Reference::Hf).unwrap();
        let symbols = plain.bpe.symbols();
        let vocab: HashMap<&str, usize> =
            symbols.iter().map(String::as_str).chain([START, END]).enumerate().map(|(id, s)| (s, id)).collect();
        let mut value = serde_json::json!({
            "model": { "type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab, "merges": merges.lines().collect::<Vec<_>>() },
            "added_tokens": [{ "content": END, "normalized": false }],
        });
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn both_spellings_of_merges_are_read() {
        let merges = "c a\nca t</w>";
        let lines = Tokenizer::from_json(&json(merges, |_| {}), Reference::Hf).unwrap();
        let pairs = json(merges, |v| v["model"]["merges"] = serde_json::json!([["c", "a"], ["ca", "t</w>"]]));
        let pairs = Tokenizer::from_json(&pairs, Reference::Hf).unwrap();
        assert_eq!(lines.encode("a cat"), pairs.encode("a cat"));
        assert_eq!(lines.encode("cat").len(), 3);
    }

    #[test]
    fn the_file_says_when_special_tokens_are_looked_for() {
        let plain = Tokenizer::from_json(&json("c a", |_| {}), Reference::Hf).unwrap();
        let late =
            Tokenizer::from_json(&json("c a", |v| v["added_tokens"][0]["normalized"] = true.into()), Reference::Hf);
        assert_eq!((plain.reference(), late.unwrap().reference()), (Reference::Hf, Reference::HfNormalized));
    }

    #[test]
    fn other_encodings_are_refused() {
        let refuse = |json: String, message: &str| {
            let error = Tokenizer::from_json(&json, Reference::Hf).unwrap_err();
            assert!(error.code() == "invalid-tokenizer" && error.to_string().contains(message), "{error}");
        };
        refuse(json("c a", |v| v["model"]["vocab"]["ca"] = 7.into()), "expected \"ca\" to have the id 512, got 7");
        refuse(json("c a", |v| v["model"]["type"] = "Unigram".into()), "got Unigram");
        refuse(json("c a", |v| v["model"]["end_of_word_suffix"] = Value::Null), "no suffix");
        refuse("<html>".into(), "tokenizer.json");
    }

    #[test]
    fn padding_is_read_where_it_is_one_of_the_two() {
        let read = |json| Padding::from_tokenizer_config(json).unwrap();
        assert_eq!(read(r#"{"pad_token": "<|endoftext|>"}"#), Some(Padding::End));
        assert_eq!(read(r#"{"pad_token": {"content": "!"}}"#), Some(Padding::Zero));
        assert_eq!(read(r#"{"model_max_length": 77}"#), None);
    }
}
