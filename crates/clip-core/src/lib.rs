//! CLIP (arXiv 2103.00020): both encoders, the contrastive loss, training, tokenizer and preprocessing.
//!
//! Everything mathematical of clipwright is here; the crate knows nothing of the web, of threads or of files.

pub mod bundle;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod device;
pub mod digest;
pub mod embed;
mod error;
pub mod eval;
mod exact;
pub mod export;
pub mod kernels;
pub mod loss;
pub mod model;
pub mod preprocess;
pub mod self_test;
pub mod tokenizer;
pub mod train;

#[cfg(test)]
mod parity;

pub use error::{ClipError, Result};
