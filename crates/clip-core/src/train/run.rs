//! One run over a data set: the batch and the learning rate of each step.

use super::batch::DatasetBatch;
use super::features::FeatureCache;
use super::gradients::LossOptions;
use super::loss_scale::LossScale;
use super::options::RunOptions;
use super::schedule::Schedule;
use super::state::RunMetadata;
use super::trainer::{StepOptions, Trainer};
use crate::data::{PairDataset, batch_count, batches};
use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Returns the options of every step of a run.
fn step_options(options: &RunOptions) -> StepOptions {
    let loss = LossOptions {
        micro_batch_size: options.micro_batch_size,
        activation_checkpointing: options.activation_checkpointing,
        label_smoothing: options.label_smoothing,
        mask_duplicates: options.mask_duplicates,
        patch_dropout: options.patch_dropout,
        seed: options.seed,
        scale: LossScale::ONE,
    };
    StepOptions { loss, clip_norm: options.clip_norm }
}

/// Result of a step, and the position in the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps of this run taken, this one included.
    pub step: usize,
    /// Steps of this run in total.
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
    /// Norm of all gradients as one vector, before clipping.
    pub gradient_norm: f32,
    /// Mean cosine of two different images, and of two different captions, of the batch.
    pub likeness: [f32; 2],
}

/// Images that a step needs and the data set does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// The step, counted from 0.
    pub step: usize,
    /// Its epoch, counted from 0.
    pub epoch: usize,
    /// Indices of the pairs, in order.
    pub pairs: Vec<usize>,
}

/// A run under way.
pub struct Run {
    dataset: PairDataset,
    schedule: Schedule,
    /// Steps of an epoch.
    per_epoch: usize,
    options: RunOptions,
    step_options: StepOptions,
    features: Option<FeatureCache>,
    step: usize,
    /// Batches of the current epoch that have not been taken, the next one last.
    remaining: Vec<Vec<usize>>,
    /// Index of the caption of each pair in this epoch.
    captions: Vec<usize>,
    /// Epochs begun.
    epoch: usize,
}

impl Run {
    /// Starts a run; `embed_dim` is the model's.
    ///
    /// # Errors
    /// Those of [`RunOptions::validate`]; `empty-batch` and `batch-too-small` for data sets of 0 and 1 pairs.
    pub fn new(dataset: PairDataset, options: &RunOptions, embed_dim: usize) -> Result<Self> {
        options.validate()?;
        let RunOptions { batch_size, epochs, warmup, .. } = *options;
        if dataset.is_empty() {
            return Err(ClipError::EmptyBatch { what: "pair".into() });
        }
        let per_epoch = batch_count(dataset.len(), batch_size);
        let schedule = Schedule::new(options.lr, warmup, per_epoch.saturating_mul(epochs), options.decay)?;
        if batch_size.min(dataset.len()) < 2 {
            return Err(ClipError::BatchTooSmall { got: batch_size.min(dataset.len()) });
        }
        let features = options.lock.map(|tower| FeatureCache::new(tower, &dataset, embed_dim));
        Ok(Self {
            dataset,
            schedule,
            per_epoch,
            options: *options,
            step_options: step_options(options),
            features,
            step: 0,
            remaining: Vec::new(),
            captions: Vec::new(),
            epoch: 0,
        })
    }

    /// Continues a run after `step` steps.
    ///
    /// # Errors
    /// Those of [`Run::new`]; `invalid-checkpoint` for a step beyond the last.
    pub fn resume(dataset: PairDataset, options: &RunOptions, embed_dim: usize, step: usize) -> Result<Self> {
        let mut run = Self::new(dataset, options, embed_dim)?;
        if step > run.schedule.total {
            let message = format!("training state: step {step} of a run of {} steps", run.schedule.total);
            return Err(ClipError::InvalidCheckpoint { message });
        }
        run.step = step;
        run.epoch = step / run.per_epoch;
        let done = step % run.per_epoch;
        if done > 0 {
            run.next_epoch();
            run.remaining.truncate(run.per_epoch - done);
        }
        Ok(run)
    }

    fn epoch_batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        batches(self.dataset.len(), self.options.batch_size, self.options.seed, epoch)
    }

    fn next_epoch(&mut self) {
        self.remaining = self.epoch_batches(self.epoch);
        self.remaining.reverse();
        self.captions = self.dataset.draw_captions(self.options.seed, self.epoch);
        self.epoch += 1;
    }

    /// Returns what a state stores of the run.
    pub(super) fn metadata(&self) -> RunMetadata {
        let (pairs, pairs_sha256) = (self.dataset.len(), self.dataset.sha256());
        RunMetadata { options: self.options, step: self.step, pairs, pairs_sha256 }
    }

    /// Whether every step has been taken.
    pub fn is_done(&self) -> bool {
        self.step >= self.schedule.total
    }

    /// Pairs of each batch.
    pub(super) fn batch_size(&self) -> usize {
        self.options.batch_size.min(self.dataset.len())
    }

    /// Steps in total.
    pub fn total_steps(&self) -> usize {
        self.schedule.total
    }

    /// Returns the images that the step `ahead` of the next one needs; `None` after the last step, and where the data set holds the
    /// images.
    pub fn image_request(&self, ahead: usize) -> Option<ImageRequest> {
        if self.dataset.holds_images() {
            return None;
        }
        let step = self.step + ahead;
        if step >= self.schedule.total {
            return None;
        }
        let epoch = step / self.per_epoch;
        // of the epoch that has begun, without shuffling it again
        if let Some(at) = self.remaining.len().checked_sub(1 + ahead) {
            return Some(ImageRequest { step, epoch, pairs: self.remaining[at].clone() });
        }
        Some(ImageRequest { step, epoch, pairs: self.epoch_batches(epoch).swap_remove(step % self.per_epoch) })
    }

    /// Takes the next step; returns `None` after the last. A step that fails can be tried again. `squares` are the images of its
    /// [`image_request`](Self::image_request), those of the trainer's rank.
    ///
    /// # Shapes
    /// - squares: `[own, 3, size, size]`
    ///
    /// # Errors
    /// Those of [`Trainer::train_step`]; `shape-mismatch` for another number of images.
    pub async fn step(&mut self, trainer: &mut Trainer, squares: Option<&[u8]>) -> Result<Option<Progress>> {
        if self.step == self.schedule.total {
            return Ok(None);
        }
        if self.remaining.is_empty() {
            self.next_epoch();
        }
        let Some(indices) = self.remaining.last() else { return Ok(None) };
        let captions: Vec<usize> = indices.iter().map(|&pair| self.captions[pair]).collect();
        let lr = self.schedule.at(self.step);
        let own = trainer.ranks().rows(indices.len());
        if let Some(features) = &mut self.features {
            let chunk = self.step_options.loss.micro_batch_size;
            let rows = if features.tower() == Towers::Text { &captions } else { indices };
            features.fill(|| trainer.inference_model(), &self.dataset, &rows[own.clone()], chunk).await?;
        }
        let squares = (!self.dataset.holds_images()).then(|| squares.unwrap_or_default());
        if let Some(squares) = squares {
            self.dataset.check_squares(squares, own.len())?;
        }
        let features = self.features.as_ref();
        let batch = DatasetBatch { dataset: &self.dataset, indices, captions: &captions, squares, own, features };
        let report = trainer.train_step(&batch, lr, &self.step_options).await.map_err(|error| match error {
            // counted from the start of the run, not of the trainer
            ClipError::LossNotFinite { what, got, .. } => ClipError::LossNotFinite { what, step: self.step + 1, got },
            other => other,
        })?;
        let batch_size = indices.len();
        self.remaining.pop();
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
