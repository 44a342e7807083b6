//! CLIP (arXiv 2103.00020): both encoders, the contrastive loss, training, tokenizer and preprocessing.
//!
//! All of clipwright's mathematics is here. The crate knows neither the web nor the file system.

#![cfg_attr(not(feature = "train"), allow(dead_code, reason = "backward passes are beside the forward passes"))]

pub mod bundle;
pub mod checkpoint;
pub mod config;
#[cfg(feature = "train")]
pub mod data;
pub mod device;
pub mod digest;
pub mod embed;
mod error;
pub mod eval;
#[cfg(feature = "train")]
mod exact;
pub mod export;
#[cfg(feature = "train")]
pub mod loss;
pub mod model;
pub mod model_loader;
pub mod preprocess;
pub mod self_test;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;

#[cfg(test)]
mod parity;

pub use error::{ClipError, Result};
