//! Model, loss and optimiser, one step at a time.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::batch::Batch;
use super::gradients::{LossOptions, gradients, norm};
use super::optimizer::{AdamW, AdamWOptions};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::Clip;

/// ln 100: exp(logit_scale) is capped at 100 (arXiv 2103.00020, section 2.5).
const LOGIT_SCALE_MAX: f64 = 4.605_170_185_988_092;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done before this one.
    pub step: usize,
    /// Loss before the update.
    pub loss: f32,
    /// `logit_scale` before the update.
    pub logit_scale: f32,
    /// Length of the gradients as one vector, before it was clipped; known where it may be clipped.
    pub gradient_norm: Option<f32>,
}

/// How a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepOptions {
    /// The loss.
    pub loss: LossOptions,
    /// Longest that the gradients as one vector may be; longer ones are shortened to it.
    pub clip_norm: Option<f64>,
}

/// A model being trained. The optimiser's moments live as long as it does, through any number of runs.
pub struct Trainer {
    model: Clip,
    optimizer: AdamW,
    step: usize,
}

impl Trainer {
    /// Takes over a model on a device with autodiff.
    pub fn new(model: Clip) -> Self {
        Self { optimizer: AdamW::new(AdamWOptions::default()), model, step: 0 }
    }

    /// Takes over a model with the optimiser that it was trained with, after `step` steps.
    pub(super) fn resume(model: Clip, optimizer: AdamW, step: usize) -> Self {
        Self { model, optimizer, step }
    }

    /// Its optimiser.
    pub(super) fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The model as it is now, recording gradients.
    pub fn model(&self) -> &Clip {
        &self.model
    }

    /// The model as it is now, without autodiff: for encoding and export.
    pub fn inference_model(&self) -> Clip {
        self.model.valid()
    }

    /// The device trained on.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Changes the optimiser's settings; its moments start anew if they differ from the present ones.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn set_options(&mut self, options: AdamWOptions) -> Result<()> {
        options.validate()?;
        if options != *self.optimizer.options() {
            self.optimizer = AdamW::new(options);
        }
        Ok(())
    }

    /// Loss of a batch and the gradient of every parameter, as a module whose values are the gradients.
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`.
    pub async fn gradients(&self, batch: &impl Batch, options: &LossOptions) -> Result<(f32, GradientsParams)> {
        let (loss, gradients) = gradients(&self.model, batch, options)?;
        Ok((read(loss).await?[0], gradients))
    }

    /// Gradient of the loss, AdamW at rate `lr`, `logit_scale` clamped to [0, ln 100].
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`; `loss-not-finite`, also where a gradient is not, with the
    /// weights left as they were.
    pub async fn train_step(&mut self, batch: &impl Batch, lr: f64, options: &StepOptions) -> Result<StepReport> {
        let (loss, gradients) = gradients(&self.model, batch, &options.loss)?;
        let norm = options.clip_norm.and_then(|_| norm(&self.model, &gradients));
        let mut wanted = vec![loss, self.model.logit_scale.val().inner()];
        wanted.extend(norm.clone());
        // one read for all: each costs a round trip to the GPU
        let values = read(Tensor::cat(wanted, 0)).await?;
        let (loss, logit_scale, gradient_norm) = (values[0], values[1], values.get(2).copied());
        if let Some(&got) = [Some(loss), gradient_norm].iter().flatten().find(|value| !value.is_finite()) {
            return Err(ClipError::LossNotFinite { step: self.step, got });
        }
        // torch.nn.utils.clip_grad_norm_
        let scale = options.clip_norm.zip(norm).map(|(most, norm)| ((norm + 1e-6).recip() * most).clamp_max(1.0));
        let mut model = self.optimizer.step(lr, self.model.clone(), gradients, scale);
        model.logit_scale = clamp_logit_scale(model.logit_scale);
        self.model = model;
        self.step += 1;
        Ok(StepReport { step: self.step - 1, loss, logit_scale, gradient_norm })
    }
}

/// Keeps the parameter a leaf: the clamp is no part of the next step's graph.
fn clamp_logit_scale(param: Param<Tensor<1>>) -> Param<Tensor<1>> {
    param.map(|x| Tensor::from_inner(x.inner().clamp(0.0, LOGIT_SCALE_MAX)).require_grad())
}
