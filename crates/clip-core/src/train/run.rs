//! One run over a data set: which batch comes next, at which learning rate.

use super::optimizer::AdamWOptions;
use super::schedule::{Decay, Schedule};
use super::trainer::Trainer;
use crate::data::{PairDataset, batches};
use crate::error::{ClipError, Result};

/// Settings of a run. Numbers as a caller in JavaScript gives them: [`Run::new`] checks them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    /// Pairs a step; fewer pairs than this make one batch of all.
    pub batch_size: f64,
    /// Times through the data.
    pub epochs: f64,
    /// Learning rate after the warm-up.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: f64,
    /// What follows the warm-up.
    pub decay: Decay,
    /// Settings of AdamW.
    pub adamw: AdamWOptions,
    /// Decides the order of the pairs.
    pub seed: u64,
}

/// The whole numbers among the options.
struct Checked {
    batch_size: usize,
    epochs: usize,
    warmup: usize,
}

impl RunOptions {
    /// What can be said without the data.
    ///
    /// # Errors
    /// `invalid-option` naming the option; `empty-batch` and `batch-too-small` for batches of 0 and 1.
    pub fn validate(&self) -> Result<()> {
        self.check().map(drop)
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
        self.adamw.validate()?;
        Ok(Checked { batch_size, epochs, warmup })
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
}

/// A run in progress.
pub struct Run {
    dataset: PairDataset,
    schedule: Schedule,
    batch_size: usize,
    seed: u64,
    step: usize,
    /// Batches of the current epoch that are still to come, last first.
    ahead: Vec<Vec<usize>>,
    epoch: usize,
}

impl Run {
    /// Checks everything before anything is changed.
    ///
    /// # Errors
    /// `invalid-option` naming the option; `empty-batch`, `batch-too-small` for a data set of no or one pair.
    pub fn new(dataset: PairDataset, options: &RunOptions) -> Result<Self> {
        let Checked { batch_size, epochs, warmup } = options.check()?;
        if dataset.is_empty() {
            return Err(ClipError::EmptyBatch { what: "pair".into() });
        }
        let per_epoch = batches(dataset.len(), batch_size, options.seed, 0).len();
        let schedule = Schedule::new(options.lr, warmup, per_epoch.saturating_mul(epochs), options.decay)?;
        if batch_size.min(dataset.len()) < 2 {
            return Err(ClipError::BatchTooSmall { got: batch_size.min(dataset.len()) });
        }
        Ok(Self { dataset, schedule, batch_size, seed: options.seed, step: 0, ahead: Vec::new(), epoch: 0 })
    }

    /// Steps in all.
    pub fn total_steps(&self) -> usize {
        self.schedule.total
    }

    /// The next step, or nothing after the last. A step that fails can be tried again.
    ///
    /// # Errors
    /// As [`Trainer::train_step`].
    pub async fn step(&mut self, trainer: &mut Trainer) -> Result<Option<Progress>> {
        if self.step == self.schedule.total {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            self.ahead = batches(self.dataset.len(), self.batch_size, self.seed, self.epoch);
            self.ahead.reverse();
            self.epoch += 1;
        }
        let Some(indices) = self.ahead.last() else { return Ok(None) };
        let (pixels, texts) = self.dataset.batch(indices, &trainer.device())?;
        let lr = self.schedule.at(self.step);
        let report = trainer.train_step(pixels, &texts, lr).await?;
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
        }))
    }
}

fn whole(option: &str, value: f64, least: usize) -> Result<usize> {
    const MOST: f64 = u32::MAX as f64;
    if value.fract() == 0.0 && value >= least as f64 && value <= MOST {
        return Ok(value as usize);
    }
    Err(ClipError::InvalidOption {
        option: option.into(),
        expected: format!("a whole number from {least} to {MOST}"),
        got: value.to_string(),
    })
}
