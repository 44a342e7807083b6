//! Reads the tokenizer's options of an OpenCLIP config:
//! <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/factory.py#L628>.

use serde_json::{Map, Value};

use super::{Cleaning, Reference};
use crate::config::{Fields, invalid};
use crate::error::Result;

/// Options of `text_cfg`.
#[derive(Debug)]
pub(crate) struct OpenClipTokenizer {
    /// Hugging Face's if `hf_tokenizer_name` is set, else OpenCLIP's.
    pub(crate) reference: Reference,
    pub(crate) cleaning: Cleaning,
    /// Keys of `tokenizer_kwargs` that take precedence over those of `tokenizer_config.json`.
    pub(crate) overrides: Map<String, Value>,
}

/// Keyword arguments of `HFTokenizer` and `SimpleTokenizer`.
const OWN: [&str; 5] = ["clean", "strip_sep_token", "language", "additional_special_tokens", "reduction_mask"];

impl OpenClipTokenizer {
    /// Reads a model's config.
    ///
    /// # Errors
    /// `invalid-config` for unsupported options that change ids.
    pub(crate) fn read(config: &Value, warnings: &mut Vec<String>) -> Result<Self> {
        let root = Fields::root(config.get("model_cfg").unwrap_or(config));
        let text = root.object("text_cfg")?;
        let name = text.str("hf_tokenizer_name")?.filter(|name| !name.is_empty());
        let kwargs = text.object("tokenizer_kwargs")?;
        let usual = if name.is_some() { Cleaning::Whitespace } else { Cleaning::Lower };
        let cleaning = match kwargs.str("clean")? {
            None => usual,
            Some(clean) => match Cleaning::from_name(clean) {
                Ok(cleaning) if cleaning != Cleaning::None => cleaning,
                _ => {
                    let expected = "\"whitespace\", \"lower\" or \"canonicalize\"";
                    return Err(invalid(&kwargs.path("clean"), expected, format!("{clean:?}")));
                }
            },
        };
        kwargs.only("strip_sep_token", false)?;
        for (fields, keys) in [(&kwargs, &["language", "reduction_mask"][..]), (&text, &["tokenizer_mode"])] {
            for key in keys {
                if let Some(value) = fields.get(key).filter(|value| value.as_str() != Some("")) {
                    return Err(invalid(&fields.path(key), "no value: it is not supported", value));
                }
            }
        }
        let mut overrides = kwargs.entries().cloned().unwrap_or_default();
        if name.is_some() {
            overrides.retain(|key, _| !OWN.contains(&key.as_str()) || key == "additional_special_tokens");
        } else {
            if let Some(tokens) = kwargs.get("additional_special_tokens") {
                return Err(invalid(
                    &kwargs.path("additional_special_tokens"),
                    "no value, as OpenCLIP's own tokenizer has none",
                    tokens,
                ));
            }
            // OpenCLIP raises an error for them
            let unknown = overrides.keys().filter(|key| !OWN.contains(&key.as_str()) && *key != "context_length");
            warnings.extend(unknown.map(|key| format!("{} is not known and was not used", kwargs.path(key))));
            overrides.clear();
        }
        Ok(Self { reference: if name.is_some() { Reference::Hf } else { Reference::OpenClip }, cleaning, overrides })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text_cfg: &str) -> (Result<OpenClipTokenizer>, Vec<String>) {
        let mut warnings = Vec::new();
        let config = serde_json::from_str(&format!(r#"{{"model_cfg": {{"text_cfg": {text_cfg}}}}}"#)).unwrap();
        (OpenClipTokenizer::read(&config, &mut warnings), warnings)
    }

    #[test]
    fn hf_tokenizer_name_selects_hugging_faces() {
        for (text_cfg, reference, cleaning) in [
            ("{}", Reference::OpenClip, Cleaning::Lower),
            (r#"{"hf_tokenizer_name": ""}"#, Reference::OpenClip, Cleaning::Lower),
            (r#"{"tokenizer_kwargs": {"clean": "canonicalize"}}"#, Reference::OpenClip, Cleaning::Canonicalize),
            (r#"{"hf_tokenizer_name": "x"}"#, Reference::Hf, Cleaning::Whitespace),
            (r#"{"hf_tokenizer_name": "x", "tokenizer_kwargs": {"clean": "lower"}}"#, Reference::Hf, Cleaning::Lower),
            (
                r#"{"hf_tokenizer_name": "x", "tokenizer_mode": null, "tokenizer_kwargs": null}"#,
                Reference::Hf,
                Cleaning::Whitespace,
            ),
        ] {
            let (found, warnings) = read(text_cfg);
            let found = found.unwrap();
            assert_eq!((found.reference, found.cleaning, warnings.len()), (reference, cleaning, 0), "{text_cfg}");
        }
        let (sides, _) =
            read(r#"{"hf_tokenizer_name": "x", "tokenizer_kwargs": {"clean": "lower", "padding_side": "left"}}"#);
        assert_eq!(serde_json::json!(sides.unwrap().overrides), serde_json::json!({"padding_side": "left"}));
    }

    #[test]
    fn unsupported_options_are_refused_and_unknown_ones_give_a_warning() {
        for (text_cfg, field) in [
            (r#"{"tokenizer_kwargs": {"clean": "upper"}}"#, "text_cfg.tokenizer_kwargs.clean"),
            (r#"{"tokenizer_kwargs": {"clean": 7}}"#, "text_cfg.tokenizer_kwargs.clean"),
            (
                r#"{"hf_tokenizer_name": "x", "tokenizer_kwargs": {"strip_sep_token": true}}"#,
                "text_cfg.tokenizer_kwargs.strip_sep_token",
            ),
            (
                r#"{"hf_tokenizer_name": "x", "tokenizer_kwargs": {"language": "eng_Latn"}}"#,
                "text_cfg.tokenizer_kwargs.language",
            ),
            (r#"{"tokenizer_kwargs": {"reduction_mask": "simple"}}"#, "text_cfg.tokenizer_kwargs.reduction_mask"),
            (
                r#"{"tokenizer_kwargs": {"additional_special_tokens": ["<a>"]}}"#,
                "text_cfg.tokenizer_kwargs.additional_special_tokens",
            ),
            (r#"{"hf_tokenizer_name": "x", "tokenizer_mode": "clips"}"#, "text_cfg.tokenizer_mode"),
            (r#"{"hf_tokenizer_name": 7}"#, "text_cfg.hf_tokenizer_name"),
        ] {
            let error = read(text_cfg).0.unwrap_err().to_string();
            assert!(error.contains(&format!("{field}:")), "{text_cfg}: {error}");
        }
        let (_, warnings) = read(r#"{"tokenizer_kwargs": {"wobble": 1}}"#);
        assert_eq!(warnings, ["text_cfg.tokenizer_kwargs.wobble is not known and was not used"]);
    }
}
