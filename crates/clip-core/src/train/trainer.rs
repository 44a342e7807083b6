//! Model, loss and optimiser, one step at a time.

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::optimizer::{AdamWOptions, adamw};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::loss::{ContrastiveLoss, SigmoidLoss};
use crate::model::{Clip, TextBatch};

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
}

/// A model being trained. The optimiser's moments live as long as it does, through any number of runs.
pub struct Trainer {
    model: Clip,
    optimizer: ModuleOptimizer,
    options: AdamWOptions,
    step: usize,
}

impl Trainer {
    /// Takes over a model on a device with autodiff.
    pub fn new(model: Clip) -> Self {
        let options = AdamWOptions::default();
        Self { optimizer: adamw(&options, &model), model, options, step: 0 }
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
        if options != self.options {
            self.optimizer = adamw(&options, &self.model);
            self.options = options;
        }
        Ok(())
    }

    fn loss(&self, pixels: Tensor<4>, texts: &TextBatch) -> Result<Tensor<1>> {
        let [images, ..] = pixels.dims();
        if images != texts.len() {
            return Err(ClipError::CountMismatch {
                left: "images".into(),
                left_count: images,
                right: "texts".into(),
                right_count: texts.len(),
            });
        }
        if images < 2 {
            return Err(ClipError::BatchTooSmall { got: images });
        }
        let logits = self.model.logits_per_image(self.model.encode_image(pixels)?, self.model.encode_text(texts)?);
        Ok(match self.model.logit_bias {
            Some(_) => SigmoidLoss::of_logits(logits),
            None => ContrastiveLoss::of_logits(logits),
        })
    }

    /// Loss of a batch and the gradient of every parameter, as a module whose values are the gradients.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`.
    pub async fn gradients(&self, pixels: Tensor<4>, texts: &TextBatch) -> Result<(f32, GradientsParams)> {
        let loss = self.loss(pixels, texts)?;
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        Ok((read(loss.inner()).await?[0], grads))
    }

    /// Gradient of the loss, AdamW at rate `lr`, `logit_scale` clamped to [0, ln 100].
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`; `loss-not-finite`, with the weights left as they were.
    pub async fn train_step(&mut self, pixels: Tensor<4>, texts: &TextBatch, lr: f64) -> Result<StepReport> {
        let loss = self.loss(pixels, texts)?;
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        // one read for both: each costs a round trip to the GPU
        let values = read(Tensor::cat(vec![loss.inner(), self.model.logit_scale.val().inner()], 0)).await?;
        let report = StepReport { step: self.step, loss: values[0], logit_scale: values[1] };
        if !report.loss.is_finite() {
            return Err(ClipError::LossNotFinite { step: self.step, got: report.loss });
        }
        let mut model = self.optimizer.step(lr, self.model.clone(), grads);
        model.logit_scale = clamp_logit_scale(model.logit_scale);
        self.model = model;
        self.step += 1;
        Ok(report)
    }
}

/// Keeps the parameter a leaf: the clamp is no part of the next step's graph.
fn clamp_logit_scale(param: Param<Tensor<1>>) -> Param<Tensor<1>> {
    param.map(|x| Tensor::from_inner(x.inner().clamp(0.0, LOGIT_SCALE_MAX)).require_grad())
}
