//! A model with what belongs to it: configuration and tokenizer. One safetensors file holds all three.

use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{Checkpoint, Layout, load, metadata, save};
use crate::config::ClipConfig;
use crate::device::read;
use crate::embed::{embed_ids, embed_pixels};
use crate::error::{ClipError, Result};
use crate::model::Clip;
use crate::preprocess::Preprocess;
use crate::tokenizer::{Reference, Tokenizer};

/// Everything that inference needs.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The weights.
    pub model: Clip,
    /// Their shape.
    pub config: ClipConfig,
    /// Text to ids; none where a checkpoint came without and none was given.
    pub tokenizer: Option<Tokenizer>,
}

impl Bundle {
    /// Reads safetensors. What is not given is looked for in the file's own metadata.
    ///
    /// # Errors
    /// `invalid-checkpoint` where there is no configuration; those of [`ClipConfig::from_json`], [`load`] and
    /// [`Tokenizer::from_merges`]; `invalid-tokenizer` for one whose ids the model does not have.
    pub fn load(weights: &[u8], config: Option<&str>, tokenizer: Option<Tokenizer>, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(weights)?;
        let config = config.or(checkpoint.metadata(metadata::CONFIG)).ok_or(ClipError::InvalidCheckpoint {
            message: "expected a config beside the weights or in their metadata, got none".into(),
        })?;
        let config = ClipConfig::from_json(config)?;
        let tokenizer = match (tokenizer, checkpoint.metadata(metadata::MERGES)) {
            (Some(tokenizer), _) => Some(tokenizer),
            (None, Some(merges)) => {
                let reference = checkpoint.metadata(metadata::REFERENCE).unwrap_or(Reference::default().name());
                Some(Tokenizer::from_merges(merges, Reference::from_name(reference)?)?)
            }
            (None, None) => None,
        };
        if let Some(tokenizer) = tokenizer.as_ref().filter(|t| t.vocab_size() > config.text.vocab_size) {
            return Err(ClipError::InvalidTokenizer {
                message: format!(
                    "expected at most the model's {} tokens, got {}",
                    config.text.vocab_size,
                    tokenizer.vocab_size()
                ),
            });
        }
        Ok(Self { model: load(&checkpoint, &config, device)?, config, tokenizer })
    }

    /// Safetensors in the layout `hf` or `open_clip`, complete in itself.
    ///
    /// # Errors
    /// `invalid-option`, `device-failed`.
    pub async fn save(&self, layout: &str) -> Result<Vec<u8>> {
        let layout = Layout::from_name(layout)?;
        let mut entries = HashMap::from([(metadata::CONFIG.into(), self.config.to_json())]);
        if let Some(tokenizer) = &self.tokenizer {
            entries.insert(metadata::MERGES.into(), tokenizer.merges());
            entries.insert(metadata::REFERENCE.into(), tokenizer.reference().name().into());
        }
        save(&self.model, layout, entries).await
    }

    /// The transform of this model's images.
    pub fn preprocess(&self) -> Preprocess {
        Preprocess::clip(self.config.vision.image_size)
    }

    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `empty-batch`, `invalid-tokenizer` where there is none, `caption-too-long` unless `truncate`.
    pub fn tokenize<'a>(&self, texts: impl ExactSizeIterator<Item = &'a str>, truncate: bool) -> Result<Vec<i32>> {
        if texts.len() == 0 {
            return Err(ClipError::EmptyBatch { what: "text".into() });
        }
        let tokenizer = self.tokenizer.as_ref().ok_or_else(ClipError::no_tokenizer)?;
        tokenizer.tokenize(texts, self.config.text.context_length, truncate)
    }

    /// See [`embed_pixels`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_pixels(&self, pixels: &[f32]) -> Result<Vec<f32>> {
        embed_pixels(&self.model, &self.config, pixels).await
    }

    /// See [`embed_ids`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_ids(&self, ids: &[i32]) -> Result<Vec<f32>> {
        embed_ids(&self.model, &self.config.text, ids).await
    }

    /// `exp(logit_scale) * cosine`.
    ///
    /// # Shapes
    /// - images: `[m, embed_dim]`; texts: `[n, embed_dim]`; rows of length one
    /// - output: `[m, n]`
    ///
    /// # Errors
    /// `empty-batch`, `shape-mismatch`, `device-failed`.
    pub async fn logits_per_image(&self, images: &[f32], texts: &[f32]) -> Result<Vec<f32>> {
        let device = self.model.logit_scale.val().device();
        let dim = self.config.embed_dim;
        let rows = |values: &[f32], what: &str| -> Result<Tensor<2>> {
            if values.is_empty() {
                return Err(ClipError::EmptyBatch { what: what.into() });
            }
            if !values.len().is_multiple_of(dim) {
                return Err(ClipError::ShapeMismatch {
                    what: format!("{what} embeddings"),
                    expected: format!("[n, {dim}]"),
                    got: format!("{} values", values.len()),
                });
            }
            Ok(Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / dim, dim]), &device))
        };
        read(self.model.logits_per_image(rows(images, "image")?, rows(texts, "text")?)).await
    }

    /// The same, able to learn.
    #[must_use]
    pub fn into_trainable(self) -> Self {
        let device = self.model.logit_scale.val().device().autodiff();
        Self { model: self.model.to_device(&device).train(), ..self }
    }
}
