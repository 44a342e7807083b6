//! One run over a data set: which batch comes next, at which learning rate.

use serde::{Deserialize, Serialize};

use super::batch::DatasetBatch;
use super::features::FeatureCache;
use super::gradients::LossOptions;
use super::loss_scale::LossScale;
use super::muon::MuonOptions;
use super::optimizer::{AdamWOptions, OptimizerOptions, POSITIVE, is_positive};
use super::schedule::{Decay, Schedule};
use super::trainer::{StepOptions, Trainer};
use super::tuning::Tuning;
use crate::data::{PairDataset, batches};
use crate::error::{ClipError, Result};
use crate::exact;
use crate::model::Towers;
use crate::preprocess::Augmentation;

/// Settings of a run. Numbers as a caller in JavaScript gives them: [`Run::new`] checks them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Pairs a step; fewer pairs than this make one batch of all.
    #[serde(with = "exact")]
    pub batch_size: f64,
    /// Pairs whose activations are in memory together: GradCache (arXiv 2101.06983); left out, all of a batch.
    #[serde(with = "exact::option")]
    pub micro_batch_size: Option<f64>,
    /// Whether a backward pass keeps one block's activations at a time, and computes them anew (arXiv 1604.06174).
    pub activation_checkpointing: bool,
    /// Times through the data.
    #[serde(with = "exact")]
    pub epochs: f64,
    /// Learning rate after the warm-up.
    #[serde(with = "exact")]
    pub lr: f64,
    /// Steps of linear warm-up.
    #[serde(with = "exact")]
    pub warmup: f64,
    /// What follows the warm-up.
    pub decay: Decay,
    /// Settings of AdamW.
    pub adamw: AdamWOptions,
    /// Settings of Muon, which then trains the matrices of the blocks; left out, AdamW trains them too.
    pub muon: Option<MuonOptions>,
    /// Longest that the gradients as one vector may be; left out, any length.
    #[serde(with = "exact::option")]
    pub clip_norm: Option<f64>,
    /// Share of each target that is spread over the batch; 0 for none.
    #[serde(with = "exact")]
    pub label_smoothing: f64,
    /// Whether pairs with the same caption are no negatives of each other.
    pub mask_duplicates: bool,
    /// Which part of each image is seen, another in each epoch; left out, the same square of it each time.
    pub augment: Option<Augmentation>,
    /// Share of an image's patches that its tower does not see: FLIP, arXiv 2212.00794.
    #[serde(with = "exact")]
    pub patch_dropout: f64,
    /// Whether the blocks' matrices are multiplied in half precision, with the loss scaled so that no gradient is lost.
    pub half: bool,
    /// Share of the old average that a step leaves; left out, the weights are not averaged.
    #[serde(with = "exact::option")]
    pub ema_decay: Option<f64>,
    /// What of the model learns.
    pub tuning: Tuning,
    /// A tower that learns nothing: what it makes of each pair is computed once (LiT, arXiv 2111.07991).
    pub lock: Option<Towers>,
    /// Decides the order of the pairs.
    pub seed: u64,
}

/// The whole numbers among the options.
struct Checked {
    batch_size: usize,
    epochs: usize,
    warmup: usize,
    step: StepOptions,
}

impl RunOptions {
    /// Whether a precision, `f32` or `f16`, is half.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn is_half(precision: &str) -> Result<bool> {
        match precision {
            "f32" => Ok(false),
            "f16" => Ok(true),
            got => Err(ClipError::unknown_name("precision", "f32 or f16", got)),
        }
    }

    /// What can be said without the data.
    ///
    /// # Errors
    /// `invalid-option` naming the option; `empty-batch` and `batch-too-small` for batches of 0 and 1.
    pub fn validate(&self) -> Result<()> {
        self.check().map(drop)
    }

    /// Settings of the optimiser.
    pub fn optimizer(&self) -> OptimizerOptions {
        OptimizerOptions { adamw: self.adamw, muon: self.muon.map(|muon| (muon, muon.lr / self.lr)) }
    }

    fn check(&self) -> Result<Checked> {
        let batch_size = whole("batchSize", self.batch_size, 0)?;
        match batch_size {
            0 => return Err(ClipError::EmptyBatch { what: "pair".into() }),
            1 => return Err(ClipError::BatchTooSmall { got: 1 }),
            _ => {}
        }
        let epochs = whole("epochs", self.epochs, 1)?;
        let warmup = whole("warmup", self.warmup, 0)?;
        Schedule::new(self.lr, warmup, 0, self.decay)?;
        self.optimizer().validate()?;
        let micro_batch_size = self.micro_batch_size.map(|size| whole("microBatchSize", size, 1)).transpose()?;
        if let Some(norm) = self.clip_norm.filter(|norm| !is_positive(*norm)) {
            return Err(ClipError::invalid_option("clipNorm", POSITIVE, norm));
        }
        let label_smoothing = self.label_smoothing;
        if !(0.0..1.0).contains(&label_smoothing) {
            return Err(ClipError::invalid_option("labelSmoothing", "0 ≤ labelSmoothing < 1", label_smoothing));
        }
        let patch_dropout = self.patch_dropout;
        if !(0.0..1.0).contains(&patch_dropout) {
            return Err(ClipError::invalid_option("patchDropout", "0 ≤ patchDropout < 1", patch_dropout));
        }
        if let Some(decay) = self.ema_decay.filter(|decay| !(*decay > 0.0 && *decay < 1.0)) {
            return Err(ClipError::invalid_option("emaDecay", "0 < emaDecay < 1", decay));
        }
        self.tuning.validate()?;
        if let Some(augmentation) = self.augment {
            augmentation.validate()?;
            if self.lock == Some(Towers::Image) {
                let expected = "none for a locked image tower, which sees each image once";
                return Err(ClipError::invalid_option("augment", expected, "one"));
            }
        }
        if self.lock == Some(Towers::Both) {
            return Err(ClipError::unknown_name("lock", "image or text", "both"));
        }
        let (activation_checkpointing, mask_duplicates, seed) =
            (self.activation_checkpointing, self.mask_duplicates, self.seed);
        let loss = LossOptions {
            micro_batch_size,
            activation_checkpointing,
            label_smoothing,
            mask_duplicates,
            patch_dropout,
            seed,
            scale: LossScale::NONE,
        };
        Ok(Checked { batch_size, epochs, warmup, step: StepOptions { loss, clip_norm: self.clip_norm } })
    }
}

/// What a step did, and how far the run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps of this run done, this one included.
    pub step: usize,
    /// Steps of this run in all.
    pub total_steps: usize,
    /// Epoch of this step, counted from 1.
    pub epoch: usize,
    /// Pairs in this step.
    pub batch_size: usize,
    /// Loss before the update.
    pub loss: f32,
    /// Learning rate of the update.
    pub lr: f64,
    /// `logit_scale` before the update.
    pub logit_scale: f32,
    /// Length of the gradients before they were clipped.
    pub gradient_norm: f32,
    /// Mean cosine of two images, and of two captions, of the batch.
    pub likeness: [f32; 2],
}

/// Images of a step that the data set does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The step, counted from 0.
    pub step: usize,
    /// Its epoch, counted from 0.
    pub epoch: usize,
    /// Whose images, in order.
    pub pairs: Vec<usize>,
}

/// A run in progress.
pub struct Run {
    dataset: PairDataset,
    schedule: Schedule,
    batch_size: usize,
    per_epoch: usize,
    options: RunOptions,
    step_options: StepOptions,
    features: Option<FeatureCache>,
    step: usize,
    /// Batches of the current epoch that are still to come, last first.
    ahead: Vec<Vec<usize>>,
    /// The caption of each pair in this epoch.
    captions: Vec<usize>,
    epoch: usize,
}

impl Run {
    /// Checks everything before anything is changed; `embed_dim` is the model's.
    ///
    /// # Errors
    /// `invalid-option` naming the option; `empty-batch`, `batch-too-small` for a data set of no or one pair.
    pub fn new(dataset: PairDataset, options: &RunOptions, embed_dim: usize) -> Result<Self> {
        let Checked { batch_size, epochs, warmup, step: step_options } = options.check()?;
        if dataset.is_empty() {
            return Err(ClipError::EmptyBatch { what: "pair".into() });
        }
        let per_epoch = batches(dataset.len(), batch_size, options.seed, 0).len();
        let schedule = Schedule::new(options.lr, warmup, per_epoch.saturating_mul(epochs), options.decay)?;
        if batch_size.min(dataset.len()) < 2 {
            return Err(ClipError::BatchTooSmall { got: batch_size.min(dataset.len()) });
        }
        let features = options.lock.map(|tower| FeatureCache::new(tower, &dataset, embed_dim));
        Ok(Self {
            dataset,
            schedule,
            batch_size,
            per_epoch,
            options: *options,
            step_options,
            features,
            step: 0,
            ahead: Vec::new(),
            captions: Vec::new(),
            epoch: 0,
        })
    }

    /// A run that goes on after `step` steps.
    ///
    /// # Errors
    /// As [`Run::new`]; `invalid-checkpoint` for a step that the run does not have.
    pub fn resume(dataset: PairDataset, options: &RunOptions, embed_dim: usize, step: usize) -> Result<Self> {
        let mut run = Self::new(dataset, options, embed_dim)?;
        if step > run.schedule.total {
            let message = format!("expected at most the run's {} steps, got {step}", run.schedule.total);
            return Err(ClipError::InvalidCheckpoint { message });
        }
        run.step = step;
        run.epoch = step / run.per_epoch;
        let done = step % run.per_epoch;
        if done > 0 {
            run.next_epoch();
            run.ahead.truncate(run.per_epoch - done);
        }
        Ok(run)
    }

    fn epoch_batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        batches(self.dataset.len(), self.batch_size, self.options.seed, epoch)
    }

    fn next_epoch(&mut self) {
        self.ahead = self.epoch_batches(self.epoch);
        self.ahead.reverse();
        self.captions = self.dataset.draw_captions(self.options.seed, self.epoch);
        self.epoch += 1;
    }

    /// Its settings.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// SHA-256 of its pairs, and their number.
    pub fn pairs(&self) -> (String, usize) {
        (self.dataset.sha256(), self.dataset.len())
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Steps in all.
    pub fn total_steps(&self) -> usize {
        self.schedule.total
    }

    /// Images of the step `ahead` of the next one, where they have to be made; nothing after the last.
    pub fn wanted(&self, ahead: usize) -> Option<Wanted> {
        self.dataset.augmenter()?;
        let step = self.step + ahead;
        if step >= self.schedule.total {
            return None;
        }
        let epoch = step / self.per_epoch;
        Some(Wanted { step, epoch, pairs: self.epoch_batches(epoch).swap_remove(step % self.per_epoch) })
    }

    /// The next step, or nothing after the last. A step that fails can be tried again. `squares` are the images that are
    /// [`wanted`](Self::wanted) for it, `[batch, 3, size, size]`.
    ///
    /// # Errors
    /// As [`Trainer::train_step`]; `shape-mismatch` for other squares.
    pub async fn step(&mut self, trainer: &mut Trainer, squares: Option<&[u8]>) -> Result<Option<Progress>> {
        if self.step == self.schedule.total {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            self.next_epoch();
        }
        let Some(indices) = self.ahead.last() else { return Ok(None) };
        let captions: Vec<usize> = indices.iter().map(|&pair| self.captions[pair]).collect();
        let lr = self.schedule.at(self.step);
        if let Some(features) = &mut self.features {
            let chunk = self.step_options.loss.micro_batch_size;
            let rows = if features.tower() == Towers::Text { &captions } else { indices };
            features.fill(|| trainer.inference_model(), &self.dataset, rows, chunk).await?;
        }
        let squares = self.dataset.augmenter().map(|_| squares.unwrap_or_default());
        if let Some(squares) = squares {
            self.dataset.check_squares(squares, indices.len())?;
        }
        let features = self.features.as_ref();
        let batch = DatasetBatch { dataset: &self.dataset, indices, captions: &captions, squares, features };
        let report = trainer.train_step(&batch, lr, &self.step_options).await.map_err(|error| match error {
            // counted as the run's steps are
            ClipError::LossNotFinite { what, got, .. } => ClipError::LossNotFinite { what, step: self.step + 1, got },
            other => other,
        })?;
        let batch_size = indices.len();
        self.ahead.pop();
        self.step += 1;
        Ok(Some(Progress {
            step: self.step,
            total_steps: self.schedule.total,
            epoch: self.epoch,
            batch_size,
            loss: report.loss,
            lr,
            logit_scale: report.logit_scale,
            gradient_norm: report.gradient_norm,
            likeness: report.likeness,
        }))
    }
}

/// A number of a caller's as a whole one.
pub(super) fn whole(option: &str, value: f64, least: usize) -> Result<usize> {
    const MOST: f64 = u32::MAX as f64;
    if value.fract() == 0.0 && value >= least as f64 && value <= MOST {
        return Ok(value as usize);
    }
    Err(ClipError::invalid_option(option, &format!("a whole number from {least} to {MOST}"), value))
}
