//! The reference implementations of CLIP's tokenizer.

use super::Cleaning;
use crate::error::{ClipError, Result};

/// Which reference implementation's answers are given. They differ on text that needs mending, on special tokens
/// spelled out in it, and in the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// `open_clip.tokenizer.SimpleTokenizer`: ftfy, entities, lower case; pads with 0.
    #[default]
    OpenClip,
    /// OpenAI's: as OpenCLIP's, but `<|startoftext|>` and `<|endoftext|>` in the text become the special tokens.
    OpenAi,
    /// Hugging Face's `CLIPTokenizer`: NFC and lower case only; pads with the end token.
    Hf,
    /// As [`Hf`](Self::Hf), with special tokens looked for after lower-casing: `tokenizer.json` files that say
    /// `"normalized": true` of them.
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

    /// What it does to a text first.
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
