//! Loads a checkpoint: config, tokenizer and transform first, then the weights as their bytes arrive.

use std::sync::Arc;

use burn::tensor::Device;
use serde_json::{Map, Value};

use crate::bundle::Bundle;
use crate::checkpoint::{Header, LoadOptions, WeightsLoader, metadata, select_towers};
use crate::config::{ClipConfig, TextPooling, field_name, invalid, unknown_keys};
use crate::error::{ClipError, Result};
use crate::model::Towers;
use crate::preprocess::{Preprocess, TransformFiles};
use crate::tokenizer::{
    Cleaning, HfOptions, PUBLISHED_VOCAB_SIZE, Reference, Tokenizer, TokenizerChoice, TokenizerFiles, quoted,
    read_files,
};

/// The small files beside the weights, as text. The metadata of the weights stands in for those that are `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SideFiles<'a> {
    /// `config.json`, `open_clip_config.json`, or clipwright's own.
    pub config: Option<&'a str>,
    /// Files of the transform.
    pub transform: TransformFiles<'a>,
    /// Files of the tokenizer.
    pub tokenizer: TokenizerFiles<'a>,
    /// Reference tokenizer to follow; `None` for the publisher's.
    pub reference: Option<Reference>,
}

/// A checkpoint whose weights are being read; everything else is checked.
pub struct ModelLoader {
    config: ClipConfig,
    tokenizer: Option<Tokenizer>,
    /// For merges that are given later.
    tokenizer_options: HfOptions,
    reference: Reference,
    cleaning: Cleaning,
    tokenizer_overrides: Map<String, Value>,
    preprocess: Preprocess,
    towers: Towers,
    /// Loader of the weights, to push bytes to.
    pub weights: WeightsLoader,
    /// Warnings for the user.
    warnings: Vec<String>,
}

impl ModelLoader {
    /// Reads the small files and checks the headers of the weights against them.
    ///
    /// # Errors
    /// `invalid-checkpoint` without a config, and for a training state; those of [`ClipConfig::from_json`], [`Preprocess::for_model`],
    /// [`Tokenizer::from_files`] and [`WeightsLoader::new`]; `invalid-tokenizer` for one whose ids the model does not have.
    pub fn new(headers: &[Header], files: &SideFiles<'_>, options: LoadOptions, device: &Device) -> Result<Self> {
        let in_metadata = |key: &str| headers.iter().find_map(|header| header.metadata(key));
        if in_metadata(metadata::TRAINING).is_some() {
            let message = "it is a training state: resume its run, or load the model that the run exports";
            return Err(ClipError::InvalidCheckpoint { message: message.into() });
        }
        let config_json = files.config.or(in_metadata(metadata::CONFIG)).ok_or(ClipError::InvalidCheckpoint {
            message: "no config beside the weights or in their metadata: add config.json or open_clip_config.json"
                .into(),
        })?;
        let (config, described) = ClipConfig::of_towers(config_json)?;
        let mut warnings = unknown_keys(&serde_json::from_str(config_json).unwrap_or_default());
        let towers = select_towers(options.towers, [described.image(), described.text()], "config", &mut warnings)?;
        if config.text.vocab_size == 0 {
            return Err(invalid(&field_name(config_json, "text.vocabSize"), "1 or more", 0));
        }
        // the transform beside a text tower is that of an image tower which is elsewhere
        let mut transform = if described.image() { files.transform } else { TransformFiles::default() };
        if transform.processor.is_none() {
            transform.preprocess = transform.preprocess.or(in_metadata(metadata::PREPROCESS));
        }
        let preprocess = Preprocess::for_model(transform, config_json, &config, &mut warnings)?;
        let choice = TokenizerChoice::read(config_json, files.reference, &in_metadata, &mut warnings)?;
        let (tokenizer, tokenizer_options) =
            read_tokenizer(files.tokenizer, &choice, &in_metadata, config.text.context_length, &mut warnings)?;
        let weights = WeightsLoader::new(headers, &config, LoadOptions { towers, ..options }, device)?;
        warnings.extend(weights.warnings().iter().cloned());
        warnings.extend(config.vision.warning().filter(|_| towers.image()));
        let mut loader = Self {
            config,
            tokenizer: None,
            tokenizer_options,
            tokenizer_overrides: choice.overrides,
            reference: choice.reference,
            cleaning: choice.cleaning,
            preprocess,
            towers: weights.towers(),
            weights,
            warnings,
        };
        if let Some(tokenizer) = tokenizer {
            loader.set_tokenizer(tokenizer)?;
        }
        Ok(loader)
    }

    /// Loads a model whose weights are one safetensors file in memory. Returns it, and warnings for the user.
    ///
    /// # Errors
    /// Those of [`Header::parse`], [`Self::new`] and [`Self::finish`].
    pub fn load(
        weights: &[u8],
        files: &SideFiles<'_>,
        options: LoadOptions,
        device: &Device,
    ) -> Result<(Bundle, Vec<String>)> {
        let header = Header::parse(weights, weights.len() as u64)?;
        let mut loader = Self::new(&[header], files, options, device)?;
        loader.weights.push_from(weights)?;
        loader.finish()
    }

    /// Config of the model.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Transform of its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Its tokenizer, if it is CLIP's and there is one so far.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The towers that are loaded.
    pub fn towers(&self) -> Towers {
        self.towers
    }

    /// Warnings so far. [`finish`](Self::finish) returns these, too.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the model has the published vocabulary and the checkpoint came without it.
    pub fn wants_published_merges(&self) -> bool {
        let text = &self.config.text;
        // a model that pools the last position is SigLIP, which has another vocabulary
        let sized = text.vocab_size == PUBLISHED_VOCAB_SIZE
            || text.vocab_size > PUBLISHED_VOCAB_SIZE && self.tokenizer_options.adds_tokens();
        let published = sized && text.pooling != TextPooling::Last;
        self.tokenizer.is_none() && published && self.towers != Towers::Image
    }

    /// Cleaning of texts before a tokenizer that is not CLIP's.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Keys, as JSON, that take precedence over those of `tokenizer_config.json`, for a tokenizer that is not CLIP's.
    pub fn tokenizer_overrides(&self) -> String {
        Value::from(self.tokenizer_overrides.clone()).to_string()
    }

    /// Sets the merges that did not come with the checkpoint.
    ///
    /// # Errors
    /// Those of [`Tokenizer::from_merges`]; `invalid-tokenizer` for one with more tokens than the model.
    pub fn set_merges(&mut self, merges: &str) -> Result<()> {
        let tokenizer = Tokenizer::from_merges(merges, self.reference)?;
        self.set_tokenizer(tokenizer.with_options(&self.tokenizer_options, None)?)
    }

    fn set_tokenizer(&mut self, tokenizer: Tokenizer) -> Result<()> {
        let vocab_size = self.config.text.vocab_size;
        let needed = tokenizer.base_size().max(tokenizer.largest_needed() + 1);
        if needed > vocab_size {
            return Err(ClipError::InvalidTokenizer {
                message: format!("it has {needed} tokens, more than the model's {vocab_size}"),
            });
        }
        let beyond: Vec<&str> =
            tokenizer.added().filter(|&(_, id)| id as usize >= vocab_size).map(|(token, _)| token).collect();
        if !beyond.is_empty() {
            self.warnings.push(format!(
                "the tokenizer's added tokens {} have no embedding in the model: texts with them are refused",
                quoted(&beyond)
            ));
        }
        self.tokenizer = Some(tokenizer.with_cleaning(self.cleaning));
        Ok(())
    }

    /// Returns the model, and warnings for the user.
    ///
    /// # Errors
    /// Those of [`WeightsLoader::finish`].
    pub fn finish(self) -> Result<(Bundle, Vec<String>)> {
        let Self { config, tokenizer, preprocess, mut warnings, .. } = self;
        let loaded = self.weights.finish()?;
        warnings
            .extend(loaded.not_finite.map(|name| format!("{name} holds NaN or an infinity, which embeddings inherit")));
        let tokenizer = tokenizer.map(Arc::new);
        Ok((Bundle { model: loaded.model, config, tokenizer, preprocess }, warnings))
    }
}

/// Reads the tokenizer, `None` without a vocabulary, and the options for one that is given later.
fn read_tokenizer<'a>(
    mut files: TokenizerFiles<'a>,
    choice: &TokenizerChoice,
    in_metadata: &impl Fn(&str) -> Option<&'a str>,
    context_length: usize,
    warnings: &mut Vec<String>,
) -> Result<(Option<Tokenizer>, HfOptions)> {
    files.merges = files.merges.or(in_metadata(metadata::MERGES));
    files.config = files.config.or(in_metadata(metadata::TOKENIZER_CONFIG));
    let overridden = choice.override_config(files.config)?;
    let files = TokenizerFiles { config: overridden.as_deref().or(files.config), ..files };
    let (mut tokenizer, options) = read_files(&files, choice.reference, warnings)?;
    if let Some(length) = options.max_length.filter(|&length| length < context_length as f64) {
        warnings.push(format!(
            "tokenizer_config.json: model_max_length is {length}, but texts are padded and truncated to the model's {context_length} tokens"
        ));
    }
    if let (Some(tokenizer), Some(words)) = (&mut tokenizer, in_metadata(metadata::SEEN_WORDS)) {
        tokenizer.set_seen_words(words);
    }
    Ok((tokenizer, options))
}
