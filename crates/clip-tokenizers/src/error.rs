//! What can be wrong with a tokenizer's files, and with a caption.

/// An error with the code that it has in TypeScript.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Files that cannot be read or that contradict each other.
    #[error("invalid tokenizer: tokenizer.json: {0}")]
    Invalid(String),
    /// A caption with more tokens than the context length, without truncation.
    #[error(
        "caption too long: expected at most {expected} tokens with start and end, got {got}: {}",
        serde_json::Value::from(text.as_str())
    )]
    CaptionTooLong {
        /// The model's context length.
        expected: usize,
        /// Tokens of the caption, special ones included.
        got: usize,
        /// Start of the caption.
        text: String,
    },
}

/// Result of everything that can fail.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid-tokenizer",
            Self::CaptionTooLong { .. } => "caption-too-long",
        }
    }
}

impl From<tokenizers::Error> for Error {
    fn from(error: tokenizers::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}
