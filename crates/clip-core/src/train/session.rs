//! Training as a caller sees it: one model, its tokenizer, one run at a time.

use burn::tensor::{Device, Tensor};

use super::run::{Progress, Run, RunOptions};
use super::schedule::{Decay, Schedule};
use super::trainer::Trainer;
use crate::bundle::Bundle;
use crate::checkpoint::{Layout, save_gradients};
use crate::config::{ClipConfig, invalid};
use crate::data::PairDataset;
use crate::error::{ClipError, Result};
use crate::eval::{Evaluation, evaluate};
use crate::model::{TextBatch, pixel_batch};
use crate::preprocess::Preprocess;
use crate::tokenizer::Tokenizer;

/// A model being trained. It has no weights until its vocabulary is known: at once where the configuration says its
/// size, with the first run's captions otherwise.
pub struct TrainingSession {
    config: ClipConfig,
    tokenizer: Option<Tokenizer>,
    preprocess: Preprocess,
    seed: u64,
    device: Device,
    trainer: Option<Trainer>,
    run: Option<Run>,
}

impl TrainingSession {
    /// Fresh weights from `seed`. Where `config` has no `text.vocabSize`, the vocabulary is cut to the captions of the
    /// first run.
    ///
    /// # Errors
    /// `invalid-config`, also for a tower with batch norms, whose statistics are not trained here; `invalid-tokenizer` where a given size is not the tokenizer's.
    pub fn create(config: &str, tokenizer: Tokenizer, seed: u64, device: &Device) -> Result<Self> {
        let parsed = ClipConfig::from_json(config)?;
        let (wanted, has) = (parsed.text.vocab_size, tokenizer.vocab_size());
        if wanted != 0 && wanted != has {
            return Err(ClipError::InvalidTokenizer {
                message: format!(
                    "expected the {wanted} tokens of text.vocabSize, got {has}; leave vocabSize out to have the \
                     vocabulary cut to the captions"
                ),
            });
        }
        let device = device.clone().autodiff();
        if !parsed.vision.is_trainable() {
            return Err(not_trainable());
        }
        let preprocess = Preprocess::for_model(None, config, &parsed)?;
        let (config, tokenizer) = (parsed, Some(tokenizer));
        let mut session = Self { config, tokenizer, preprocess, seed, device, trainer: None, run: None };
        if wanted != 0 {
            session.init();
        }
        Ok(session)
    }

    /// Goes on from a model's weights. Without a tokenizer it learns from token ids alone.
    ///
    /// # Errors
    /// `invalid-config` for a tower with batch norms; `missing-tower` for a model loaded without one.
    pub fn from_bundle(bundle: Bundle) -> Result<Self> {
        if !bundle.config.vision.is_trainable() {
            return Err(not_trainable());
        }
        for (tower, there) in [("image", bundle.model.visual.is_some()), ("text", bundle.model.text.is_some())] {
            if !there {
                return Err(ClipError::MissingTower { tower: tower.into() });
            }
        }
        let bundle = bundle.into_trainable();
        let trainer = Trainer::new(bundle.model);
        Ok(Self {
            config: bundle.config,
            tokenizer: bundle.tokenizer,
            preprocess: bundle.preprocess,
            seed: 0,
            device: trainer.device(),
            trainer: Some(trainer),
            run: None,
        })
    }

    fn init(&mut self) {
        self.trainer = Some(Trainer::new(self.config.init(self.seed, &self.device)));
    }

    fn trainer(&self) -> Result<&Trainer> {
        self.trainer.as_ref().ok_or(ClipError::NoWeights)
    }

    /// The tokenizer as it is now.
    ///
    /// # Errors
    /// `invalid-tokenizer` where there is none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(ClipError::no_tokenizer)
    }

    /// The model as it is now, for encoding and export.
    ///
    /// # Errors
    /// `no-weights` before the vocabulary is known.
    pub fn bundle(&self) -> Result<Bundle> {
        Ok(Bundle {
            model: self.trainer()?.inference_model(),
            config: self.config.clone(),
            tokenizer: self.tokenizer.clone(),
            preprocess: self.preprocess.clone(),
        })
    }

    /// An empty data set for this model.
    pub fn new_dataset(&self) -> PairDataset {
        PairDataset::new(&self.config, self.preprocess.clone())
    }

    /// Starts a run; returns its number of steps. Nothing is changed where it is refused.
    ///
    /// # Errors
    /// `already-training` while one runs; those of [`Run::new`].
    pub fn start(&mut self, mut dataset: PairDataset, options: &RunOptions) -> Result<usize> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        if self.trainer.is_none() {
            let (tokenizer, renumbered) = self.tokenizer()?.cut_to(dataset.ids());
            dataset.renumber(&renumbered, tokenizer.vocab_size());
            let run = Run::new(dataset, options)?;
            self.config.text.vocab_size = tokenizer.vocab_size();
            self.tokenizer = Some(tokenizer);
            self.init();
            self.run = Some(run);
        } else {
            self.run = Some(Run::new(dataset, options)?);
        }
        if let Some(trainer) = &mut self.trainer {
            trainer.set_options(options.adamw)?;
        }
        Ok(self.run.as_ref().map_or(0, Run::total_steps))
    }

    /// The next step of the run; nothing after the last, or without a run.
    ///
    /// # Errors
    /// As [`Trainer::train_step`].
    pub async fn step(&mut self) -> Result<Option<Progress>> {
        match (&mut self.run, &mut self.trainer) {
            (Some(run), Some(trainer)) => run.step(trainer).await,
            _ => Ok(None),
        }
    }

    /// Ends the run; the weights stay as the last step left them.
    pub fn stop(&mut self) {
        self.run = None;
    }

    /// See [`evaluate`].
    ///
    /// # Errors
    /// As there, and `no-weights`.
    pub async fn evaluate(&self, pairs: &PairDataset, distractors: Option<&PairDataset>) -> Result<Evaluation> {
        let model = self.trainer()?.inference_model();
        evaluate(&model, self.config.embed_dim, pairs, distractors).await
    }

    fn batch(&self, pixels: &[f32], ids: &[i32]) -> Result<(Tensor<4>, TextBatch)> {
        let images = pixel_batch(pixels, &self.config.vision, &self.device)?;
        let texts = ids.len().div_ceil(self.config.text.context_length);
        Ok((images, TextBatch::new(ids, texts, &self.config.text)?))
    }

    /// Loss of a batch and the gradient of every parameter, as safetensors.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`; ids: `[batch, context_length]`
    ///
    /// # Errors
    /// `no-weights`, `invalid-option` for an unknown layout, those of [`Trainer::gradients`].
    pub async fn gradients(&self, pixels: &[f32], ids: &[i32], layout: &str) -> Result<(f32, Vec<u8>)> {
        let layout = Layout::from_name(layout)?;
        let trainer = self.trainer()?;
        let (images, texts) = self.batch(pixels, ids)?;
        let (loss, gradients) = trainer.gradients(images, &texts).await?;
        Ok((loss, save_gradients(trainer.model(), &self.config, &gradients, layout).await?))
    }

    /// One step on a batch given as numbers, outside any run; returns the loss before it.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`; ids: `[batch, context_length]`
    ///
    /// # Errors
    /// `already-training`, `no-weights`, `invalid-option`, those of [`Trainer::train_step`].
    pub async fn step_on(&mut self, pixels: &[f32], ids: &[i32], lr: f64) -> Result<f32> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        let lr = Schedule::new(lr, 0, 1, Decay::Constant)?.at(0);
        let (images, texts) = self.batch(pixels, ids)?;
        let trainer = self.trainer.as_mut().ok_or(ClipError::NoWeights)?;
        Ok(trainer.train_step(images, &texts, lr).await?.loss)
    }
}

fn not_trainable() -> ClipError {
    invalid("vision.architecture", "vit or siglip for training", "one with batch norms")
}
