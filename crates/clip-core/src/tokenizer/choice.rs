//! Which tokenizer a checkpoint needs: the reference implementation, the cleaning before it, and the keys that its config changes.

use serde_json::{Map, Value};

use super::{Cleaning, OpenClipTokenizer, Reference};
use crate::checkpoint::metadata;
use crate::config::Format;
use crate::error::{ClipError, Result};

/// The reference tokenizer that a checkpoint follows, and the cleaning of texts before it.
pub(crate) struct TokenizerChoice {
    pub(crate) reference: Reference,
    pub(crate) cleaning: Cleaning,
    /// Keys that take precedence over those of `tokenizer_config.json`.
    pub(crate) overrides: Map<String, Value>,
}

impl TokenizerChoice {
    /// Reads the choice, in this order of precedence: the caller's, that of a file which clipwright wrote, the publisher's.
    /// `config` is the model's JSON.
    ///
    /// # Errors
    /// `invalid-option` for an unknown name; those of [`OpenClipTokenizer::read`].
    pub(crate) fn read<'a>(
        config: &str,
        asked: Option<Reference>,
        in_metadata: &impl Fn(&str) -> Option<&'a str>,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let of = |reference: Reference| Self { reference, cleaning: reference.cleaning(), overrides: Map::new() };
        let value: Value = serde_json::from_str(config).unwrap_or_default();
        let mut published = if let Some(name) = in_metadata(metadata::REFERENCE) {
            of(Reference::from_name(name)?)
        } else {
            match Format::of(&value) {
                Format::Hf => of(Reference::Hf),
                Format::OpenClip => {
                    let OpenClipTokenizer { reference, cleaning, overrides } =
                        OpenClipTokenizer::read(&value, warnings)?;
                    Self { reference, cleaning, overrides }
                }
                Format::Own => of(Reference::default()),
            }
        };
        if let Some(name) = in_metadata(metadata::CLEANING) {
            published.cleaning = Cleaning::from_name(name)?;
        }
        Ok(match asked {
            Some(reference) if reference != published.reference => of(reference),
            _ => published,
        })
    }

    /// `tokenizer_config.json` with the overrides; `None` if there are none.
    ///
    /// # Errors
    /// `invalid-tokenizer` for a config that is not a JSON object.
    pub(crate) fn override_config(&self, config: Option<&str>) -> Result<Option<String>> {
        if self.overrides.is_empty() {
            return Ok(None);
        }
        let mut merged: Map<String, Value> = config
            .map_or_else(|| Ok(Map::new()), serde_json::from_str)
            .map_err(|e| ClipError::InvalidTokenizer { message: format!("tokenizer_config.json: {e}") })?;
        merged.extend(self.overrides.clone());
        Ok(Some(Value::from(merged).to_string()))
    }
}
