//! The reference implementations of CLIP's tokenizer.

use super::Cleaning;
use crate::error::{ClipError, Result};

/// Reference implementation to follow. They differ in cleaning, in special tokens spelled out in a text, and in padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// OpenCLIP's `SimpleTokenizer`: ftfy, HTML entities, lower case; pads with 0.
    #[default]
    OpenClip,
    /// OpenAI's: as OpenCLIP's, but `<|startoftext|>` and `<|endoftext|>` in a text become the special tokens.
    OpenAi,
    /// Hugging Face's `CLIPTokenizer`: only NFC and lower case; pads with the end token.
    Hf,
    /// As [`Hf`](Self::Hf), but special tokens are matched after lower-casing: for `tokenizer.json` files with
    /// `"normalized": true`.
    HfNormalized,
}

impl Reference {
    /// `open_clip`, `openai`, `hf` or `hf_normalized`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::OpenClip, Self::OpenAi, Self::Hf, Self::HfNormalized]
            .into_iter()
            .find(|reference| reference.name() == name)
            .ok_or_else(|| ClipError::unknown_name("tokenizer", "open_clip, openai, hf or hf_normalized", name))
    }

    /// Whether it is one of Hugging Face's.
    pub fn is_hf(self) -> bool {
        matches!(self, Self::Hf | Self::HfNormalized)
    }

    /// Its cleaning of texts.
    pub(crate) fn cleaning(self) -> Cleaning {
        if self.is_hf() { Cleaning::None } else { Cleaning::Lower }
    }

    /// Name of the reference.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenClip => "open_clip",
            Self::OpenAi => "openai",
            Self::Hf => "hf",
            Self::HfNormalized => "hf_normalized",
        }
    }
}
