//! What OpenCLIP does to a text before it is tokenized:
//! <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/tokenizer.py#L56>.

use super::ftfy::fix_text;
use super::html;
use crate::error::{ClipError, Result};

/// `tokenizer_kwargs.clean` of an OpenCLIP config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaning {
    /// The text as it is: Hugging Face's tokenizers.
    None,
    /// ftfy, entities, white space: OpenCLIP's default for Hugging Face's tokenizers.
    Whitespace,
    /// As `Whitespace`, then lower case: OpenCLIP's default for CLIP's own tokenizer.
    Lower,
    /// ftfy, entities, underscores to spaces, no ASCII punctuation, lower case, white space.
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

    /// The text made clean.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Whitespace => one_space(&basic(text)),
            Self::Lower => one_space(&basic(text)).to_lowercase(),
            Self::Canonicalize => {
                let kept = basic(text).replace('_', " ").replace(|c: char| c.is_ascii_punctuation(), "");
                one_space(&kept.to_lowercase())
            }
        }
    }
}

/// `basic_clean`: entities are undone twice, as `&amp;amp;` is met.
fn basic(text: &str) -> String {
    html::unescape(&html::unescape(&fix_text(text))).into()
}

/// Python's `" ".join(text.split())`, which takes the separators 1C to 1F for white space, too.
fn one_space(text: &str) -> String {
    let is_space = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleaning_has_its_name_and_no_other() {
        for name in ["none", "whitespace", "lower", "canonicalize"] {
            assert_eq!(Cleaning::from_name(name).unwrap().name(), name);
        }
        assert_eq!(Cleaning::from_name("upper").unwrap_err().code(), "invalid-option");
    }
}
