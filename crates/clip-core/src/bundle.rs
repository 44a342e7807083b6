//! A model with what belongs to it: configuration, tokenizer, transform. One safetensors file holds them all.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde_json::{Map, Value};

use crate::checkpoint::{Adapter, Header, Layout, LoadOptions, Loading, metadata, save, towers_there};
use crate::config::{ClipConfig, TextPooling, invalid, is_hf, unknown_keys};
use crate::device::read;
use crate::embed::{embed_ids, embed_labels, embed_pixels, embed_squares};
use crate::error::{ClipError, Result};
use crate::model::{Clip, Towers};
use crate::preprocess::{Preprocess, TransformFiles};
use crate::tokenizer::{
    Cleaning, HfOptions, OpenClipTokenizer, PUBLISHED_VOCAB_SIZE, Reference, Tokenizer, TokenizerFiles, quoted,
    read_files,
};

/// Everything that inference needs.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The weights.
    pub model: Clip,
    /// Their shape.
    pub config: ClipConfig,
    /// Text to ids; none where a checkpoint came without and none was given.
    pub tokenizer: Option<Tokenizer>,
    /// Images to pixels.
    pub preprocess: Preprocess,
}

/// What lies beside the weights, as text. What is left out is looked for in the weights' metadata.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// `config.json`, `open_clip_config.json`, or our own.
    pub config: Option<&'a str>,
    /// Those of the transform.
    pub transform: TransformFiles<'a>,
    /// Those of the tokenizer.
    pub tokenizer: TokenizerFiles<'a>,
    /// Whose tokenization; left out, that of whoever published the checkpoint.
    pub reference: Option<Reference>,
}

/// A checkpoint being read: everything but the weights is checked.
pub struct Opening {
    config: ClipConfig,
    tokenizer: Option<Tokenizer>,
    /// What lies beside a vocabulary that may still come.
    tokenizer_options: HfOptions,
    reference: Reference,
    cleaning: Cleaning,
    tokenizer_overrides: Map<String, Value>,
    preprocess: Preprocess,
    towers: Towers,
    /// The weights.
    pub loading: Loading,
    /// What the user should be told of the files, in words.
    warnings: Vec<String>,
}

impl Opening {
    /// Reads what lies beside the weights and checks the weights' headers against it.
    ///
    /// # Errors
    /// `invalid-checkpoint` where there is no configuration; those of [`ClipConfig::from_json`], [`Preprocess::for_model`],
    /// [`Tokenizer::from_files`] and [`Loading::new`]; `invalid-tokenizer` for one whose ids the
    /// model does not have.
    pub fn new(headers: &[Header], files: &Files<'_>, options: LoadOptions, device: &Device) -> Result<Self> {
        let in_metadata = |key: &str| headers.iter().find_map(|header| header.metadata(key));
        let config_json = files.config.or(in_metadata(metadata::CONFIG)).ok_or(ClipError::InvalidCheckpoint {
            message: "expected a config beside the weights or in their metadata, got none".into(),
        })?;
        let (config, described) = ClipConfig::of_towers(config_json)?;
        let mut warnings = unknown_keys(&serde_json::from_str(config_json).unwrap_or_default());
        let towers = towers_there(options.towers, [described.image(), described.text()], "config", &mut warnings)?;
        if config.text.vocab_size == 0 {
            return Err(invalid("text.vocab_size", "1 or more", 0));
        }
        // what lies beside a text tower is the transform of an image tower that is elsewhere
        let mut transform = if described.image() { files.transform } else { TransformFiles::default() };
        if transform.processor.is_none() {
            transform.preprocess = transform.preprocess.or(in_metadata(metadata::PREPROCESS));
        }
        let preprocess = Preprocess::for_model(transform, config_json, &config, &mut warnings)?;
        let said = TokenizerChoice::read(config_json, files.reference, &in_metadata, &mut warnings)?;
        let mut tokenizer_files = files.tokenizer;
        tokenizer_files.merges = tokenizer_files.merges.or(in_metadata(metadata::MERGES));
        tokenizer_files.config = tokenizer_files.config.or(in_metadata(metadata::TOKENIZER_CONFIG));
        let overridden = said.override_config(tokenizer_files.config)?;
        tokenizer_files.config = overridden.as_deref().or(tokenizer_files.config);
        let (mut tokenizer, tokenizer_options) = read_files(&tokenizer_files, said.reference, &mut warnings)?;
        if let Some(length) = tokenizer_options.max_length.filter(|&length| length < config.text.context_length as f64)
        {
            warnings.push(format!(
                "tokenizer_config.json: model_max_length is {length}: texts are padded and cut to the model's {} tokens all the same",
                config.text.context_length
            ));
        }
        if let (Some(tokenizer), Some(words)) = (&mut tokenizer, in_metadata(metadata::SEEN_WORDS)) {
            tokenizer.set_seen_words(words);
        }
        let loading = Loading::new(headers, &config, LoadOptions { towers, ..options }, device)?;
        warnings.extend(loading.warnings().iter().cloned());
        warnings.extend(config.vision.warning().filter(|_| towers.image()));
        let mut opening = Self {
            config,
            tokenizer: None,
            tokenizer_options,
            tokenizer_overrides: said.overrides,
            reference: said.reference,
            cleaning: said.cleaning,
            preprocess,
            towers: loading.towers(),
            loading,
            warnings,
        };
        if let Some(tokenizer) = tokenizer {
            opening.set_tokenizer(tokenizer)?;
        }
        Ok(opening)
    }

    /// Whether the checkpoint has the published vocabulary and came without it.
    pub fn wants_published_merges(&self) -> bool {
        let text = &self.config.text;
        // SigLIP pools the last position, and has a vocabulary of its own
        let sized = text.vocab_size == PUBLISHED_VOCAB_SIZE
            || text.vocab_size > PUBLISHED_VOCAB_SIZE && self.tokenizer_options.adds_tokens();
        let published = sized && text.pooling != TextPooling::Last;
        self.tokenizer.is_none() && published && self.towers != Towers::Image
    }

    /// Cleaning of texts for a tokenizer that is not CLIP's.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Keys, as JSON, that go before those of the `tokenizer_config.json` of such a tokenizer.
    pub fn tokenizer_overrides(&self) -> String {
        Value::from(self.tokenizer_overrides.clone()).to_string()
    }

    /// Gives the merges that did not come with the checkpoint.
    ///
    /// # Errors
    /// Those of [`Tokenizer::from_merges`]; `invalid-tokenizer` for one with more tokens than the model.
    pub fn set_merges(&mut self, merges: &str) -> Result<()> {
        let tokenizer = Tokenizer::from_merges(merges, self.reference)?;
        self.set_tokenizer(tokenizer.with_options(&self.tokenizer_options, None)?)
    }

    fn set_tokenizer(&mut self, tokenizer: Tokenizer) -> Result<()> {
        let most = self.config.text.vocab_size;
        let needed = tokenizer.base_size().max(tokenizer.largest_needed() + 1);
        if needed > most {
            return Err(ClipError::InvalidTokenizer {
                message: format!("expected at most the model's {most} tokens, got {needed}"),
            });
        }
        let beyond: Vec<&str> =
            tokenizer.added().filter(|&(_, id)| id as usize >= most).map(|(token, _)| token).collect();
        if !beyond.is_empty() {
            self.warnings.push(format!(
                "the tokenizer's added tokens {} have no embedding in the model: texts with them are refused",
                quoted(&beyond)
            ));
        }
        self.tokenizer = Some(tokenizer.with_cleaning(self.cleaning));
        Ok(())
    }

    /// The model, and what its user should be told of it, in words.
    ///
    /// # Errors
    /// Those of [`Loading::finish`].
    pub fn finish(self) -> Result<(Bundle, Vec<String>)> {
        let Self { config, tokenizer, preprocess, mut warnings, .. } = self;
        let loaded = self.loading.finish()?;
        warnings.extend(loaded.not_finite.map(|name| format!("{name} holds NaN or an infinity: embeddings will, too")));
        Ok((Bundle { model: loaded.model, config, tokenizer, preprocess }, warnings))
    }
}

/// The reference tokenizer that a checkpoint follows, and the cleaning of texts before it.
struct TokenizerChoice {
    reference: Reference,
    cleaning: Cleaning,
    /// Keys that go before those of `tokenizer_config.json`.
    overrides: Map<String, Value>,
}

impl TokenizerChoice {
    /// The caller's word counts first, then that of a file which clipwright wrote, then the publisher's.
    fn read<'a>(
        config: &str,
        asked: Option<Reference>,
        in_metadata: &impl Fn(&str) -> Option<&'a str>,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let of = |reference: Reference| Self { reference, cleaning: reference.cleaning(), overrides: Map::new() };
        let value: Value = serde_json::from_str(config).unwrap_or_default();
        let mut said = if let Some(name) = in_metadata(metadata::REFERENCE) {
            of(Reference::from_name(name)?)
        } else if is_hf(config) {
            of(Reference::Hf)
        } else if value.get("model_cfg").is_some() || value.get("vision_cfg").is_some() {
            let OpenClipTokenizer { reference, cleaning, overrides } = OpenClipTokenizer::read(&value, warnings)?;
            Self { reference, cleaning, overrides }
        } else {
            of(Reference::default())
        };
        if let Some(name) = in_metadata(metadata::CLEANING) {
            said.cleaning = Cleaning::from_name(name)?;
        }
        Ok(match asked {
            Some(reference) if reference != said.reference => of(reference),
            _ => said,
        })
    }

    fn override_config(&self, config: Option<&str>) -> Result<Option<String>> {
        if self.overrides.is_empty() {
            return Ok(None);
        }
        let mut merged: Map<String, Value> = config
            .map_or_else(|| Ok(Map::new()), serde_json::from_str)
            .map_err(|e| ClipError::InvalidTokenizer { message: format!("tokenizer_config.json: {e}") })?;
        merged.extend(self.overrides.clone());
        Ok(Some(Value::from(merged).to_string()))
    }
}

impl Bundle {
    /// Adds an adapter to the weights: see [`Adapter::merge_into`].
    ///
    /// # Errors
    /// As there, with the weights left as they are.
    pub fn merge(&mut self, adapter: &Adapter) -> Result<()> {
        self.model = adapter.merge_into(self.model.clone(), &self.config)?;
        Ok(())
    }

    /// Safetensors in the layout `hf` or `open_clip`, complete in itself.
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

    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `empty-batch`, `missing-tower` or `invalid-tokenizer` where there is no tokenizer, `caption-too-long` unless `truncate`.
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

    /// Whether the vocabulary was cut to the captions of a run: only then are there [`unseen_words`](Self::unseen_words).
    pub fn has_cut_vocabulary(&self) -> bool {
        self.tokenizer.as_ref().is_some_and(Tokenizer::is_cut)
    }

    /// Words of texts that the model never learned of, where its vocabulary was cut to its captions.
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

    /// Runs what towers there are once over nothing much, so that a GPU's pipelines are compiled before the first call, those that
    /// larger batches will need among them.
    ///
    /// # Errors
    /// `device-failed`.
    pub async fn warm_up(&self) -> Result<()> {
        #[cfg(feature = "webgpu")]
        clip_kernels::compile_every_size(true);
        let done = self.encode_nothing_much().await;
        #[cfg(feature = "webgpu")]
        clip_kernels::compile_every_size(false);
        done
    }

    async fn encode_nothing_much(&self) -> Result<()> {
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
    /// - images: `[m, embed_dim]`; texts: `[n, embed_dim]`; rows of length one
    /// - output: `[m, n]`
    ///
    /// # Errors
    /// `missing-tensor` for weights without a temperature; `empty-batch`, `shape-mismatch`, `device-failed`.
    pub async fn logits_per_image(&self, images: &[f32], texts: &[f32]) -> Result<Vec<f32>> {
        if !self.model.has_logit_scale {
            let hint =
                ": the weights of towers alone say how alike two embeddings are, not how sure the model is of it";
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

    /// Element type of the weights: `q8` where any is quantised, else `f16` where any is kept so, else `f32`.
    pub fn dtype(&self) -> &'static str {
        let mut found = Narrowest { quantized: false, half: false };
        self.model.visit(&mut found);
        match found {
            Narrowest { quantized: true, .. } => "q8",
            Narrowest { half: true, .. } => "f16",
            _ => "f32",
        }
    }
}

struct Narrowest {
    quantized: bool,
    half: bool,
}

impl ModuleVisitor for Narrowest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match param.val().dtype() {
            DType::QFloat(_) => self.quantized = true,
            DType::F16 => self.half = true,
            _ => {}
        }
    }
}
