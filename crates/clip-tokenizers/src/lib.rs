//! Tokenizers other than CLIP's byte-pair encoding (SentencePiece, Gemma), by Hugging Face's library: read from the files beside a
//! `tokenizer.json` as transformers 5 reads them. What cleans texts is the caller's.

mod config;
mod error;
mod json;
mod special;
mod tokenizer;

pub use error::{Error, Result};
pub use tokenizer::{ForeignTokenizer, OpenClipOptions, TokenizerFiles};
