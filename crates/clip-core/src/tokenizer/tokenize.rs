//! What a tokenizer has to do for captions to be encoded and trained on.

use super::Tokenizer;
use crate::error::Result;

/// Converts captions to ids: CLIP's [`Tokenizer`], or another one of the caller's.
pub trait Tokenize: Sync {
    /// Encodes a text with its special tokens, without padding or truncation.
    ///
    /// # Errors
    /// `invalid-tokenizer` for files that contradict each other.
    fn encode(&self, text: &str) -> Result<Vec<i32>>;

    /// Encodes a text and pads it to `context_length`.
    ///
    /// # Errors
    /// `caption-too-long` unless `truncate` is set; `invalid-tokenizer`.
    fn tokenize(&self, text: &str, context_length: usize, truncate: bool) -> Result<Vec<i32>>;
}

impl Tokenize for Tokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i32>> {
        Ok(self.encode(text))
    }

    fn tokenize(&self, text: &str, context_length: usize, truncate: bool) -> Result<Vec<i32>> {
        self.tokenize([text], context_length, truncate)
    }
}
