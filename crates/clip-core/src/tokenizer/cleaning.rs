//! Cleaning of texts before tokenization:
//! <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/tokenizer.py#L56>.

use super::ftfy::fix_text;
use super::html;
use crate::error::{ClipError, Result};

/// `tokenizer_kwargs.clean` of an OpenCLIP config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaning {
    /// No cleaning: Hugging Face's tokenizers.
    None,
    /// ftfy, HTML entities, white space: OpenCLIP's default for Hugging Face's tokenizers.
    Whitespace,
    /// As `Whitespace`, then lower case: OpenCLIP's default for CLIP's own tokenizer.
    Lower,
    /// ftfy, HTML entities, underscores to spaces, no ASCII punctuation, lower case, white space.
    Canonicalize,
}

impl Cleaning {
    /// `none`, `whitespace`, `lower` or `canonicalize`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::None, Self::Whitespace, Self::Lower, Self::Canonicalize]
            .into_iter()
            .find(|cleaning| cleaning.name() == name)
            .ok_or_else(|| ClipError::unknown_name("clean", "none, whitespace, lower or canonicalize", name))
    }

    /// Name of the cleaning.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Whitespace => "whitespace",
            Self::Lower => "lower",
            Self::Canonicalize => "canonicalize",
        }
    }

    /// Cleans a text.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Whitespace => collapse_whitespace(&basic_clean(text)),
            Self::Lower => collapse_whitespace(&basic_clean(text)).to_lowercase(),
            Self::Canonicalize => {
                let kept = basic_clean(text).replace('_', " ").replace(|c: char| c.is_ascii_punctuation(), "");
                collapse_whitespace(&kept.to_lowercase())
            }
        }
    }
}

/// `basic_clean`: unescapes twice, for `&amp;amp;`.
fn basic_clean(text: &str) -> String {
    html::unescape(&html::unescape(&fix_text(text))).into()
}

/// Python's `" ".join(text.split())`, for which the separators 1C to 1F are white space, too.
fn collapse_whitespace(text: &str) -> String {
    let is_space = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_cleanings_round_trip() {
        for name in ["none", "whitespace", "lower", "canonicalize"] {
            assert_eq!(Cleaning::from_name(name).unwrap().name(), name);
        }
        assert_eq!(Cleaning::from_name("upper").unwrap_err().code(), "invalid-option");
    }
}
