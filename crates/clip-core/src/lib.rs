//! CLIP (arXiv 2103.00020): both encoders, the contrastive loss, training, tokenizer and preprocessing.
//!
//! All of clipwright's mathematics is here. The crate knows neither the web nor the file system.
//!
//! A checkpoint of Hugging Face's or OpenCLIP's, a picture and a caption:
//!
//! ```
//! use clipwright_core::device::{block_on_cpu, cpu};
//! use clipwright_core::model_loader::{ModelLoader, SideFiles};
//! use clipwright_core::preprocess::decode;
//! use std::fs::{read, read_to_string};
//!
//! # let folder = std::env::temp_dir().join(format!("clipwright-example-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let fixtures = std::path::Path::new("../../test/fixtures");
//! # let model = fixtures.join("models/clip-quickgelu-p8/hf");
//! # for name in ["model.safetensors", "config.json", "merges.txt"] {
//! #     std::fs::copy(model.join(name), folder.join(name))?;
//! # }
//! # std::fs::copy(fixtures.join("preprocess/images/scene_640x427.jpg"), folder.join("cat.jpg"))?;
//! # std::env::set_current_dir(&folder)?;
//! let (config, merges) = (read_to_string("config.json")?, read_to_string("merges.txt")?);
//! let mut files = SideFiles { config: Some(&config), ..SideFiles::default() };
//! files.tokenizer.merges = Some(&merges);
//! let (clip, warnings) = ModelLoader::load(&read("model.safetensors")?, &files, Default::default(), &cpu())?;
//!
//! let picture = clip.preprocess.square(&decode(&read("cat.jpg")?)?);
//! let caption = clip.tokenize(["a photo of a cat"].into_iter(), false)?;
//! let image = block_on_cpu(clip.encode_squares(&picture))?;
//! let text = block_on_cpu(clip.encode_ids(&caption))?;
//! let cosine: f32 = image.iter().zip(&text).map(|(a, b)| a * b).sum();
//! # assert!(cosine.abs() <= 1.0 && warnings.is_empty() && image.len() == text.len());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
