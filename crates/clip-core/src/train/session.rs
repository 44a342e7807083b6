//! Training as a caller sees it: one model, its tokenizer, one run at a time.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::gradients::LossOptions;
use super::options::{Decay, RunOptions, Tuning};
use super::ranks::Ranks;
use super::run::{ImageRequest, Progress, Run};
use super::schedule::Schedule;
use super::state::{RunMetadata, State};
use super::trainer::{StepOptions, Trainer};
use crate::bundle::Bundle;
use crate::checkpoint::{Adapter, Layout, LoadOptions, save_adapter, save_gradients};
use crate::config::{ClipConfig, Objective};
use crate::data::{PairDataset, embed_images};
use crate::error::{ClipError, Result};
use crate::eval::{Evaluation, evaluate};
use crate::model::{Clip, TextBatch, pixel_batch};
use crate::model_loader::{ModelLoader, SideFiles};
use crate::preprocess::{Augmenter, Preprocess, TransformFiles};
use crate::tokenizer::Tokenizer;

/// A model being trained. It has weights once its vocabulary is known: from the start if the config has `text.vocabSize`, else from
/// the captions of the first run.
pub struct TrainingSession {
    config: ClipConfig,
    tokenizer: Option<Arc<Tokenizer>>,
    preprocess: Preprocess,
    seed: u64,
    device: Device,
    trainer: Option<Trainer>,
    run: Option<Run>,
    /// A run that was stopped and can be resumed.
    interrupted: Option<RunMetadata>,
    ranks: Ranks,
}

impl TrainingSession {
    /// Starts with weights drawn from `seed`. Without `text.vocabSize` in `config`, the vocabulary is cut to the captions of the
    /// first run.
    ///
    /// # Errors
    /// `invalid-config`, also for a tower with batch norms, whose statistics are not trained here; `invalid-tokenizer` if
    /// `text.vocabSize` is not the size of the tokenizer's vocabulary.
    pub fn create(config: &str, tokenizer: Tokenizer, seed: u64, device: &Device) -> Result<Self> {
        let parsed = ClipConfig::from_json(config)?;
        let (expected, got) = (parsed.text.vocab_size, tokenizer.vocab_size());
        if expected != 0 && expected != got {
            return Err(ClipError::InvalidTokenizer {
                message: format!(
                    "expected the {expected} tokens of text.vocabSize, got {got}; leave vocabSize out to have the \
                     vocabulary cut to the captions"
                ),
            });
        }
        let device = device.clone().autodiff();
        parsed.check_trainable()?;
        let preprocess = Preprocess::for_model(TransformFiles::default(), config, &parsed, &mut Vec::new())?;
        let (config, tokenizer) = (parsed, Some(Arc::new(tokenizer)));
        let mut session = Self {
            config,
            tokenizer,
            preprocess,
            seed,
            device,
            trainer: None,
            run: None,
            interrupted: None,
            ranks: Ranks::default(),
        };
        if expected != 0 {
            session.init();
        }
        Ok(session)
    }

    /// Starts with a model's weights. Without a tokenizer, only token ids can be trained on.
    ///
    /// # Errors
    /// `invalid-config` for a tower with batch norms; `missing-tower` for a model loaded without one.
    pub fn from_bundle(bundle: Bundle) -> Result<Self> {
        bundle.config.check_trainable()?;
        for (tower, there) in [("image", bundle.model.visual.is_some()), ("text", bundle.model.text.is_some())] {
            if !there {
                return Err(ClipError::MissingTower { tower: tower.into() });
            }
        }
        let mut bundle = bundle.into_trainable();
        // trained from now on, even if the checkpoint had none
        bundle.model.has_logit_scale = true;
        let trainer = Trainer::new(bundle.model);
        Ok(Self {
            config: bundle.config,
            tokenizer: bundle.tokenizer,
            preprocess: bundle.preprocess,
            seed: 0,
            device: trainer.device(),
            trainer: Some(trainer),
            run: None,
            interrupted: None,
            ranks: Ranks::default(),
        })
    }

    /// Trains with other ranks from the next run on. All make the same calls, with the same pairs and options.
    pub fn join(&mut self, ranks: Ranks) {
        self.ranks = ranks;
    }

    /// Returns warnings about the configuration.
    pub fn warnings(&self) -> Vec<String> {
        self.config.vision.warning().into_iter().collect()
    }

    fn init(&mut self) {
        self.trainer = Some(Trainer::new(self.config.init(self.seed, &self.device)));
    }

    fn trainer(&self) -> Result<&Trainer> {
        self.trainer.as_ref().ok_or(ClipError::NoWeights)
    }

    /// The current tokenizer.
    ///
    /// # Errors
    /// `invalid-tokenizer` if the model came without one.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>> {
        self.tokenizer.as_ref().ok_or_else(ClipError::no_tokenizer)
    }

    /// Returns the current model, for encoding and export.
    ///
    /// # Errors
    /// `no-weights` before the vocabulary is known.
    pub fn bundle(&self) -> Result<Bundle> {
        Ok(self.bundle_of(self.trainer()?.inference_model()))
    }

    fn bundle_of(&self, model: Clip) -> Bundle {
        Bundle {
            model,
            config: self.config.clone(),
            tokenizer: self.tokenizer.clone(),
            preprocess: self.preprocess.clone(),
        }
    }

    /// Returns the adapters in PEFT's format.
    ///
    /// # Errors
    /// `no-weights`; `no-adapter` without a run with `lora`; `invalid-option` for a model that transformers does not have;
    /// `device-failed`.
    pub async fn save_adapter(&self) -> Result<Adapter> {
        let trainer = self.trainer()?;
        let Tuning::Lora { rank, alpha } = trainer.tuning() else { return Err(ClipError::NoAdapter) };
        save_adapter(&trainer.averaged_model(), &self.config, rank, alpha).await
    }

    /// Returns an empty data set for this model, to evaluate it on.
    pub fn new_dataset(&self) -> PairDataset {
        PairDataset::new(&self.config, self.preprocess.clone())
    }

    /// Checks a run's options against the model and its device.
    fn check(&self, options: &RunOptions) -> Result<()> {
        if self.config.objective == Objective::Sigmoid && options.label_smoothing > 0.0 {
            let expected = "0 with a sigmoid loss, which has no softmax targets";
            return Err(ClipError::invalid_option("labelSmoothing", expected, options.label_smoothing));
        }
        options.precision.check(&self.device)
    }

    /// Returns an empty data set for a run with these options.
    ///
    /// # Errors
    /// `invalid-option` for options that this model or its device does not support.
    pub fn run_dataset(&self, options: &RunOptions) -> Result<PairDataset> {
        self.check(options)?;
        let preprocess = self.preprocess.clone();
        Ok(match options.augment {
            Some(augmentation) => {
                PairDataset::augmented(&self.config, Augmenter { preprocess, augmentation, seed: options.seed })
            }
            None => self.new_dataset(),
        })
    }

    /// Returns an empty data set for the run that was stopped.
    ///
    /// # Errors
    /// `no-run` without one; those of [`run_dataset`](Self::run_dataset).
    pub fn interrupted_dataset(&self) -> Result<PairDataset> {
        self.run_dataset(&self.interrupted.as_ref().ok_or(ClipError::NoRun)?.options)
    }

    /// Options of the run that was stopped, or under way when the state was saved, and its steps taken.
    pub fn interrupted(&self) -> Option<(&RunOptions, usize)> {
        self.interrupted.as_ref().map(|run| (&run.options, run.step))
    }

    /// Config of the model. `text.vocab_size` is 0 before the vocabulary is known.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Transform of its images.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// See [`Run::image_request`]; of this rank's pairs alone. `None` without a run.
    pub fn image_request(&self, ahead: usize) -> Option<ImageRequest> {
        let request = self.run.as_ref()?.image_request(ahead)?;
        let own = self.ranks.rows(request.pairs.len());
        Some(ImageRequest { pairs: request.pairs[own].to_vec(), ..request })
    }

    /// Starts a run; returns its number of steps. Changes nothing on an error.
    ///
    /// # Errors
    /// `already-training` during a run; those of [`run_dataset`](Self::run_dataset) and [`Run::new`].
    pub fn start(&mut self, mut dataset: PairDataset, options: &RunOptions) -> Result<usize> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        self.check(options)?;
        if self.trainer.is_none() {
            let (tokenizer, renumbered) = self.tokenizer()?.cut_to(dataset.ids());
            dataset.renumber(&renumbered, tokenizer.vocab_size());
            let run = Run::new(dataset, options, self.config.embed_dim)?;
            self.ranks.check(run.batch_size())?;
            self.config.text.vocab_size = tokenizer.vocab_size();
            self.tokenizer = Some(Arc::new(tokenizer));
            self.init();
            self.run = Some(run);
        } else {
            let mut tokenizer = self.tokenizer.clone();
            if let Some(tokenizer) = &mut tokenizer {
                Arc::make_mut(tokenizer).remember_more(dataset.ids());
            }
            let run = Run::new(dataset, options, self.config.embed_dim)?;
            self.ranks.check(run.batch_size())?;
            self.run = Some(run);
            self.tokenizer = tokenizer;
        }
        self.interrupted = None;
        if let Some(trainer) = &mut self.trainer {
            trainer.set_ranks(self.ranks.clone());
            trainer.set_precision(options.precision);
            trainer.set_options(options.optimizer(), options.tuning, options.ema_decay, options.seed)?;
        }
        Ok(self.run.as_ref().map_or(0, Run::total_steps))
    }

    /// Returns everything that training continues from as one file: weights, the optimiser's moments, the run and its step.
    ///
    /// # Errors
    /// `no-weights`, `device-failed`.
    pub async fn save_state(&self) -> Result<Vec<u8>> {
        let trainer = self.trainer()?;
        let run = self.run.as_ref().map(Run::metadata).or_else(|| self.interrupted.clone());
        let model = self.bundle_of(trainer.base_model()).save("open_clip").await?;
        let values = trainer.values().into_bytes().await?;
        State { metadata: trainer.metadata(run), model, values }.to_bytes()
    }

    /// Reads a file that [`save_state`](Self::save_state) wrote; `max_tensor_bytes` as in [`LoadOptions`].
    ///
    /// # Errors
    /// `invalid-checkpoint` for another kind of file, another format, or a damaged file.
    pub fn from_state(bytes: &[u8], max_tensor_bytes: Option<u64>, device: &Device) -> Result<Self> {
        let options = LoadOptions { max_tensor_bytes, ..LoadOptions::default() };
        let State { metadata, model, values } = State::from_bytes(bytes)?;
        let (bundle, _) = ModelLoader::load(&model, &SideFiles::default(), options, device)?;
        let mut session = Self::from_bundle(bundle)?;
        session.trainer = session.trainer.map(|fresh| Trainer::resume(fresh, &metadata, &values)).transpose()?;
        session.interrupted = metadata.run;
        Ok(session)
    }

    /// Continues the run that was stopped, or under way when the state was saved; returns its number of steps.
    ///
    /// # Errors
    /// `already-training` during a run; `no-run` without a stopped one; `count-mismatch` and `other-pairs` for other pairs.
    pub fn resume_run(&mut self, dataset: PairDataset) -> Result<usize> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        let stopped = self.interrupted.as_ref().ok_or(ClipError::NoRun)?;
        self.check(&stopped.options)?;
        if dataset.len() != stopped.pairs {
            return Err(ClipError::CountMismatch {
                left: "pairs of the interrupted run".into(),
                left_count: stopped.pairs,
                right: "pairs".into(),
                right_count: dataset.len(),
            });
        }
        let got = dataset.sha256();
        if got != stopped.pairs_sha256 {
            return Err(ClipError::OtherPairs { expected: stopped.pairs_sha256.clone(), got });
        }
        let run = Run::resume(dataset, &stopped.options, self.config.embed_dim, stopped.step)?;
        self.ranks.check(run.batch_size())?;
        if let Some(trainer) = &mut self.trainer {
            trainer.set_ranks(self.ranks.clone());
            trainer.set_precision(stopped.options.precision);
        }
        let total = run.total_steps();
        self.run = Some(run);
        self.interrupted = None;
        Ok(total)
    }

    /// Takes the next step of the run, with the images of its [`image_request`](Self::image_request). Returns `None` after the last
    /// step, and without a run.
    ///
    /// # Errors
    /// Those of [`Run::step`].
    pub async fn step(&mut self, squares: Option<&[u8]>) -> Result<Option<Progress>> {
        match (&mut self.run, &mut self.trainer) {
            (Some(run), Some(trainer)) => run.step(trainer, squares).await,
            _ => Ok(None),
        }
    }

    /// Ends the run and keeps the weights. A run stopped before its last step can be resumed.
    pub fn stop(&mut self) {
        if let Some(run) = self.run.take().filter(|run| !run.is_done()) {
            self.interrupted = Some(run.metadata());
        }
    }

    /// See [`evaluate`].
    ///
    /// # Errors
    /// `no-weights`; those of [`evaluate`].
    pub async fn evaluate(&self, pairs: &PairDataset, distractors: Option<&PairDataset>) -> Result<Evaluation> {
        let model = self.trainer()?.inference_model();
        evaluate(&model, self.config.embed_dim, pairs, distractors).await
    }

    /// Encodes all images of a data set: see [`embed_images`].
    ///
    /// # Errors
    /// `no-weights`; those of [`embed_images`].
    pub async fn embed_images(&self, pairs: &PairDataset) -> Result<Vec<f32>> {
        let all: Vec<usize> = (0..pairs.len()).collect();
        embed_images(&self.trainer()?.inference_model(), pairs, &all).await
    }

    fn batch(&self, pixels: &[f32], ids: &[i32]) -> Result<(Tensor<4>, TextBatch)> {
        let images = pixel_batch(pixels.to_vec(), &self.config.vision, &self.device)?;
        let texts = ids.len().div_ceil(self.config.text.context_length);
        Ok((images, TextBatch::new(ids, texts, &self.config.text)?))
    }

    /// Returns the loss of a batch and the gradient of every parameter, as safetensors.
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
        let (loss, gradients) = trainer.gradients(&(images, texts), &LossOptions::default()).await?;
        Ok((loss, save_gradients(trainer.model(), &self.config, &gradients, layout).await?))
    }

    /// Takes one step on a batch of pixels and token ids, outside any run; returns the loss before it.
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
        let report = trainer.train_step(&(images, texts), lr, &StepOptions::default()).await?;
        if let Some(tokenizer) = &mut self.tokenizer {
            Arc::make_mut(tokenizer).remember_more(ids);
        }
        Ok(report.loss)
    }
}

#[cfg(test)]
mod tests;
