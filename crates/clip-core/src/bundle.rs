//! A model with its config, tokenizer and transform; one safetensors file can hold all of them.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{DType, Tensor, TensorData};

use crate::checkpoint::{Adapter, Layout, metadata, save};
use crate::config::ClipConfig;
use crate::device::read;
use crate::embed::{embed_ids, embed_labels, embed_pixels, embed_squares};
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamVisitor, visit_params};
use crate::preprocess::Preprocess;
use crate::tokenizer::Tokenizer;

/// Everything that inference needs.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The model.
    pub model: Clip,
    /// Its config.
    pub config: ClipConfig,
    /// Text to ids; `None` if the checkpoint came without one and none was given.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Images to pixels.
    pub preprocess: Preprocess,
}

impl Bundle {
    /// Adds an adapter to the weights. See [`Adapter::merge_into`].
    ///
    /// # Errors
    /// As there; the weights are then unchanged.
    pub fn merge(&mut self, adapter: &Adapter) -> Result<()> {
        self.model = adapter.merge_into(self.model.clone(), &self.config)?;
        Ok(())
    }

    /// Saves safetensors in the layout `hf` or `open_clip`, with config, tokenizer and transform in the metadata.
    ///
    /// # Errors
    /// `invalid-option`, `device-failed`.
    pub async fn save(&self, layout: &str) -> Result<Vec<u8>> {
        let layout = Layout::from_name(layout)?;
        let mut entries = HashMap::from([
            (metadata::CONFIG.into(), self.config.to_json()),
            (metadata::PREPROCESS.into(), self.preprocess.to_json()),
        ]);
        if let Some(tokenizer) = &self.tokenizer {
            entries.insert(metadata::MERGES.into(), tokenizer.merges());
            entries.insert(metadata::REFERENCE.into(), tokenizer.reference().name().into());
            entries.extend(tokenizer.seen_words().map(|words| (metadata::SEEN_WORDS.into(), words)));
            entries.insert(metadata::CLEANING.into(), tokenizer.cleaning().name().into());
            entries.insert(metadata::TOKENIZER_CONFIG.into(), tokenizer.config_json().to_string());
        }
        save(&self.model, &self.config, layout, entries).await
    }

    /// Tokenizes texts.
    ///
    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `empty-batch`; `missing-tower` or `invalid-tokenizer` without a tokenizer; `caption-too-long` unless `truncate`.
    pub fn tokenize<'a>(&self, texts: impl ExactSizeIterator<Item = &'a str>, truncate: bool) -> Result<Vec<i32>> {
        if texts.len() == 0 {
            return Err(ClipError::EmptyBatch { what: "text".into() });
        }
        let Some(tokenizer) = &self.tokenizer else {
            self.model.text_tower()?;
            return Err(ClipError::no_tokenizer());
        };
        tokenizer.tokenize(texts, self.config.text.context_length, truncate)
    }

    /// Whether the vocabulary was cut to the captions of a run. Only then are there [`unseen_words`](Self::unseen_words).
    pub fn has_cut_vocabulary(&self) -> bool {
        self.tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.is_cut())
    }

    /// Words of texts that no training caption had, if the vocabulary was cut to these captions.
    pub fn unseen_words<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        self.tokenizer.as_ref().map(|tokenizer| tokenizer.unseen_words(texts)).unwrap_or_default()
    }

    /// See [`embed_pixels`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_pixels(&self, pixels: &[f32]) -> Result<Vec<f32>> {
        embed_pixels(&self.model, &self.config, pixels).await
    }

    /// See [`embed_squares`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_squares(&self, squares: &[u8]) -> Result<Vec<f32>> {
        embed_squares(&self.model, &self.config, &self.preprocess, squares).await
    }

    /// See [`embed_labels`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_labels(&self, ids: &[i32], per_label: usize) -> Result<Vec<f32>> {
        embed_labels(&self.model, &self.config, ids, per_label).await
    }

    /// See [`embed_ids`].
    ///
    /// # Errors
    /// As there.
    pub async fn encode_ids(&self, ids: &[i32]) -> Result<Vec<f32>> {
        embed_ids(&self.model, &self.config.text, ids).await
    }

    /// Encodes zeros once, so that a GPU's pipelines, including those of larger batches, are compiled before the first call.
    ///
    /// # Errors
    /// `device-failed`.
    pub async fn warm_up(&self) -> Result<()> {
        #[cfg(feature = "webgpu")]
        let _compiling = clip_kernels::compile_all_tilings(&self.model.device());
        self.encode_zeros().await
    }

    async fn encode_zeros(&self) -> Result<()> {
        if self.model.visual.is_some() {
            let size = self.config.vision.image_size();
            self.encode_pixels(&vec![0.0; 3 * size * size]).await?;
        }
        if self.model.text.is_some() {
            self.encode_ids(&vec![0; self.config.text.context_length]).await?;
        }
        Ok(())
    }

    /// `exp(logit_scale) * cosine`, plus SigLIP's bias.
    ///
    /// # Shapes
    /// - images: `[m, embed_dim]`; texts: `[n, embed_dim]`; rows of unit length
    /// - output: `[m, n]`
    ///
    /// # Errors
    /// `missing-tensor` for weights without a temperature; `empty-batch`, `shape-mismatch`, `device-failed`.
    pub async fn logits_per_image(&self, images: &[f32], texts: &[f32]) -> Result<Vec<f32>> {
        if !self.model.has_logit_scale {
            let hint = ": weights of single towers have no temperature; compare their embeddings by cosine similarity";
            return Err(ClipError::MissingTensor { name: "logit_scale".into(), hint });
        }
        let device = self.model.device();
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

    /// Element type of the weights: `q8` if any is quantised, else `f16` if any is f16, else `f32`.
    pub fn dtype(&self) -> &'static str {
        let mut found = Dtypes { quantized: false, f16: false };
        visit_params(&self.model, &mut found);
        match found {
            Dtypes { quantized: true, .. } => "q8",
            Dtypes { f16: true, .. } => "f16",
            _ => "f32",
        }
    }
}

/// Whether any parameter has the type.
struct Dtypes {
    quantized: bool,
    f16: bool,
}

impl ParamVisitor for Dtypes {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        match param.val().dtype() {
            DType::QFloat(_) => self.quantized = true,
            DType::F16 => self.f16 = true,
            _ => {}
        }
    }
}
