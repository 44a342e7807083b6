//! Training as a caller sees it: one model, its tokenizer, one run at a time.

use burn::tensor::{Device, FloatDType, Tensor};

use super::gradients::LossOptions;
use super::run::{Progress, Run, RunOptions, Wanted};
use super::schedule::{Decay, Schedule};
use super::state::{Notes, RunNotes, State};
use super::trainer::{StepOptions, Trainer};
use super::tuning::Tuning;
use crate::bundle::Bundle;
use crate::checkpoint::{Adapter, Header, Layout, LoadOptions, save_adapter, save_gradients};
use crate::config::{ClipConfig, Objective, invalid};
use crate::data::{PairDataset, embed_images};
use crate::error::{ClipError, Result};
use crate::eval::{Evaluation, evaluate};
use crate::model::{Clip, TextBatch, pixel_batch};
use crate::model_loader::{ModelLoader, SideFiles};
use crate::preprocess::{Augmenter, Preprocess, TransformFiles};
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
    /// A run that was stopped, to be gone on with.
    interrupted: Option<RunNotes>,
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
        let preprocess = Preprocess::for_model(TransformFiles::default(), config, &parsed, &mut Vec::new())?;
        let (config, tokenizer) = (parsed, Some(tokenizer));
        let mut session =
            Self { config, tokenizer, preprocess, seed, device, trainer: None, run: None, interrupted: None };
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
        let mut bundle = bundle.into_trainable();
        // learned from here on, from where it starts
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
        })
    }

    /// What the user should know of its configuration.
    pub fn warnings(&self) -> Vec<String> {
        self.config.vision.warning().into_iter().collect()
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

    /// The adapters, as PEFT reads them.
    ///
    /// # Errors
    /// `no-weights`; `no-adapter` where nothing was trained so; `invalid-option` for a model that transformers does not
    /// have; `device-failed`.
    pub async fn save_adapter(&self) -> Result<Adapter> {
        let trainer = self.trainer()?;
        let Tuning::Lora { rank, alpha } = trainer.tuning() else { return Err(ClipError::NoAdapter) };
        save_adapter(&trainer.averaged_model(), &self.config, rank, alpha).await
    }

    /// An empty data set for this model.
    pub fn new_dataset(&self) -> PairDataset {
        PairDataset::new(&self.config, self.preprocess.clone())
    }

    /// What can be said of settings without the data.
    fn check(&self, options: &RunOptions) -> Result<()> {
        if self.config.objective == Objective::Sigmoid && options.label_smoothing > 0.0 {
            let expected = "0 for a sigmoid loss, which has no targets to share";
            return Err(ClipError::invalid_option("labelSmoothing", expected, options.label_smoothing));
        }
        if options.half && !self.device.supports_dtype(FloatDType::F16) {
            return Err(ClipError::invalid_option("precision", "f32 on a device without half precision", "f16"));
        }
        Ok(())
    }

    /// An empty data set for a run with these settings.
    ///
    /// # Errors
    /// `invalid-option` for settings that this model or its device does not bear.
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

    /// An empty data set for the run that was stopped.
    ///
    /// # Errors
    /// `no-run` where there is none; as [`run_dataset`](Self::run_dataset).
    pub fn interrupted_dataset(&self) -> Result<PairDataset> {
        self.run_dataset(&self.interrupted.as_ref().ok_or(ClipError::NoRun)?.options)
    }

    /// Images that a step of the run needs: see [`Run::wanted`].
    pub fn wanted(&self, ahead: usize) -> Option<Wanted> {
        self.run.as_ref()?.wanted(ahead)
    }

    /// Starts a run; returns its number of steps. Nothing is changed where it is refused.
    ///
    /// # Errors
    /// `already-training` while one runs; as [`run_dataset`](Self::run_dataset); those of [`Run::new`].
    pub fn start(&mut self, mut dataset: PairDataset, options: &RunOptions) -> Result<usize> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        self.check(options)?;
        if self.trainer.is_none() {
            let (tokenizer, renumbered) = self.tokenizer()?.cut_to(dataset.ids());
            dataset.renumber(&renumbered, tokenizer.vocab_size());
            let run = Run::new(dataset, options, self.config.embed_dim)?;
            self.config.text.vocab_size = tokenizer.vocab_size();
            self.tokenizer = Some(tokenizer);
            self.init();
            self.run = Some(run);
        } else {
            let mut tokenizer = self.tokenizer.clone();
            if let Some(tokenizer) = &mut tokenizer {
                tokenizer.remember_more(dataset.ids());
            }
            self.run = Some(Run::new(dataset, options, self.config.embed_dim)?);
            self.tokenizer = tokenizer;
        }
        self.interrupted = None;
        if let Some(trainer) = &mut self.trainer {
            trainer.set_half(options.half);
            trainer.set_options(options.optimizer(), options.tuning, options.ema_decay, options.seed)?;
        }
        Ok(self.run.as_ref().map_or(0, Run::total_steps))
    }

    /// Everything that training goes on from, as one file: weights, the optimiser's moments, the run and how far it is.
    ///
    /// # Errors
    /// `no-weights`, `device-failed`.
    pub async fn save_state(&self) -> Result<Vec<u8>> {
        let trainer = self.trainer()?;
        let run = self.run.as_ref().map(notes_of).or_else(|| self.interrupted.clone());
        let model = self.bundle_of(trainer.base_model()).save("open_clip").await?;
        let values = trainer.values().into_bytes().await?;
        State { notes: Notes::new(trainer, run), model, values }.to_bytes()
    }

    /// Takes up what [`save_state`](Self::save_state) wrote; `max_tensor_bytes` as in [`LoadOptions`].
    ///
    /// # Errors
    /// `invalid-checkpoint` for what is no state, one of another version, and one that was damaged.
    pub fn from_state(bytes: &[u8], max_tensor_bytes: Option<u64>, device: &Device) -> Result<Self> {
        let options = LoadOptions { max_tensor_bytes, ..LoadOptions::default() };
        let State { notes, model, values } = State::from_bytes(bytes)?;
        let header = Header::parse(&model, model.len() as u64)?;
        let mut loader = ModelLoader::new(&[header], &SideFiles::default(), options, device)?;
        loader.weights.push_from(&model)?;
        let mut session = Self::from_bundle(loader.finish()?.0)?;
        session.trainer = session.trainer.map(|fresh| Trainer::resume(fresh, &notes, &values)).transpose()?;
        session.interrupted = notes.run;
        Ok(session)
    }

    /// Goes on with the run that was stopped, or going on when the state was saved; returns its number of steps.
    ///
    /// # Errors
    /// `already-training`; `no-run` where there is none; `count-mismatch` and `other-pairs` for other pairs.
    pub fn resume_run(&mut self, dataset: PairDataset) -> Result<usize> {
        if self.run.is_some() {
            return Err(ClipError::AlreadyTraining);
        }
        let notes = self.interrupted.as_ref().ok_or(ClipError::NoRun)?;
        self.check(&notes.options)?;
        if dataset.len() != notes.pairs {
            return Err(ClipError::CountMismatch {
                left: "pairs of the interrupted run".into(),
                left_count: notes.pairs,
                right: "pairs".into(),
                right_count: dataset.len(),
            });
        }
        let got = dataset.sha256();
        if got != notes.pairs_sha256 {
            return Err(ClipError::OtherPairs { expected: notes.pairs_sha256.clone(), got });
        }
        let run = Run::resume(dataset, &notes.options, self.config.embed_dim, notes.step)?;
        let total = run.total_steps();
        self.run = Some(run);
        self.interrupted = None;
        Ok(total)
    }

    /// The next step of the run, with the images that are [`wanted`](Self::wanted) for it; nothing after the last, or without
    /// a run.
    ///
    /// # Errors
    /// As [`Run::step`].
    pub async fn step(&mut self, squares: Option<&[u8]>) -> Result<Option<Progress>> {
        match (&mut self.run, &mut self.trainer) {
            (Some(run), Some(trainer)) => run.step(trainer, squares).await,
            _ => Ok(None),
        }
    }

    /// Ends the run; the weights stay as the last step left them, and what is left of the run can be gone on with.
    pub fn stop(&mut self) {
        if let Some(run) = self.run.take().filter(|run| run.steps_done() < run.total_steps()) {
            self.interrupted = Some(notes_of(&run));
        }
    }

    /// See [`evaluate`].
    ///
    /// # Errors
    /// As there, and `no-weights`.
    pub async fn evaluate(&self, pairs: &PairDataset, distractors: Option<&PairDataset>) -> Result<Evaluation> {
        let model = self.trainer()?.inference_model();
        evaluate(&model, self.config.embed_dim, pairs, distractors).await
    }

    /// See [`embed_images`], of all of them.
    ///
    /// # Errors
    /// As there, and `no-weights`.
    pub async fn embed_images(&self, pairs: &PairDataset) -> Result<Vec<f32>> {
        let all: Vec<usize> = (0..pairs.len()).collect();
        embed_images(&self.trainer()?.inference_model(), pairs, &all).await
    }

    fn batch(&self, pixels: &[f32], ids: &[i32]) -> Result<(Tensor<4>, TextBatch)> {
        let images = pixel_batch(pixels.to_vec(), &self.config.vision, &self.device)?;
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
        let (loss, gradients) = trainer.gradients(&(images, texts), &LossOptions::default()).await?;
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
        let report = trainer.train_step(&(images, texts), lr, &StepOptions::default()).await?;
        if let Some(tokenizer) = &mut self.tokenizer {
            tokenizer.remember_more(ids);
        }
        Ok(report.loss)
    }
}

fn notes_of(run: &Run) -> RunNotes {
    let (pairs_sha256, pairs) = run.pairs();
    RunNotes { options: *run.options(), step: run.steps_done(), pairs, pairs_sha256 }
}

fn not_trainable() -> ClipError {
    invalid("vision.architecture", "vit or siglip for training", "one with batch norms")
}
