//! The publishers' formats of a model's config.

use serde_json::Value;

use super::{hf, open_clip};

/// Format of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// clipwright's.
    Own,
    /// Hugging Face's `config.json`.
    Hf,
    /// `open_clip_config.json`, or the `model_cfg` inside it.
    OpenClip,
}

impl Format {
    /// Detects the format by keys that only it has.
    pub(crate) fn of(config: &Value) -> Self {
        let has = |key: &&str| config.get(key).is_some();
        if ["model_cfg", "vision_cfg"].iter().any(has) {
            Self::OpenClip
        } else if ["vision_config", "text_config", "model_type"].iter().any(has) {
            Self::Hf
        } else {
            Self::Own
        }
    }

    /// Name of a field of [`ClipConfig`](super::ClipConfig), such as `text.vocabSize`, in this format.
    pub(super) fn field_name(self, ours: &str) -> String {
        match self {
            Self::Own => ours.into(),
            Self::Hf => hf::field_name(ours),
            Self::OpenClip => open_clip::field_name(ours),
        }
    }
}

/// [`Format::field_name`] in the format of a config's JSON, for error messages.
pub(crate) fn field_name(json: &str, ours: &str) -> String {
    Format::of(&serde_json::from_str(json).unwrap_or_default()).field_name(ours)
}
