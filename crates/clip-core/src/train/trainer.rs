//! Model, loss and optimiser, one step at a time.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::average::Average;
use super::batch::Batch;
use super::gradients::{LossOptions, Outcome, gradients, norm};
use super::guard;
use super::loss_scale::LossScale;
use super::optimizer::{Optimizer, OptimizerOptions};
use super::state::{AverageNotes, Notes};
use super::tuning::Tuning;
use super::values::{Values, learning, read_group, replace};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::Clip;

/// ln 100: exp(logit_scale) is capped at 100 (arXiv 2103.00020, section 2.5).
const LOGIT_SCALE_MAX: f64 = 4.605_170_185_988_092;

/// Groups of what a trainer knows besides the weights.
const EXP_AVG: &str = "exp_avg";
const EXP_AVG_SQ: &str = "exp_avg_sq";
const ADAPTER: &str = "adapter";
const AVERAGE: &str = "average";

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done before this one.
    pub step: usize,
    /// Loss before the update.
    pub loss: f32,
    /// `logit_scale` before the update.
    pub logit_scale: f32,
    /// Length of the gradients as one vector, before it was clipped.
    pub gradient_norm: f32,
    /// Mean cosine of two images, and of two captions, of the batch.
    pub likeness: [f32; 2],
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
    tuning: Tuning,
    optimizer: Optimizer,
    average: Option<Average>,
    /// In half precision, what the loss is multiplied with.
    loss_scale: Option<LossScale>,
    step: usize,
}

impl Trainer {
    /// Takes over a model on a device with autodiff.
    pub fn new(model: Clip) -> Self {
        let optimizer = Optimizer::new(OptimizerOptions::default());
        Self { model, tuning: Tuning::All, optimizer, average: None, loss_scale: None, step: 0 }
    }

    /// Goes on from the weights of a fresh trainer with what a state says of them; `values` as [`values`](Self::values)
    /// gave them.
    ///
    /// # Errors
    /// `invalid-checkpoint`.
    pub(super) fn resume(fresh: Self, notes: &Notes, values: &[u8]) -> Result<Self> {
        let device = fresh.model.device().inner();
        let model = notes.tuning.apply(fresh.model, 0);
        let group = |name: &str| read_group(values, name, &model, &device);
        let optimizer =
            Optimizer::resume(notes.optimizer(), notes.optimizer_steps, group(EXP_AVG)?, group(EXP_AVG_SQ)?);
        let average = match notes.average {
            Some(AverageNotes { decay, steps }) => Some(Average { decay, steps, values: group(AVERAGE)? }),
            None => None,
        };
        let adapters = group(ADAPTER)?;
        let model = replace(model, &adapters).in_half(notes.loss_scale.is_some());
        let (tuning, loss_scale, step) = (notes.tuning, notes.loss_scale, notes.steps);
        Ok(Self { model, tuning, optimizer, average, loss_scale, step })
    }

    /// What it knows besides the weights.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        values.add(EXP_AVG, &self.model, &self.optimizer.exp_avg);
        values.add(EXP_AVG_SQ, &self.model, &self.optimizer.exp_avg_sq);
        if let Some(average) = &self.average {
            values.add(AVERAGE, &self.model, &average.values);
        }
        if let Tuning::Lora { .. } = self.tuning {
            values.add(ADAPTER, &self.model, &learning(&self.model));
        }
        values
    }

    /// The weights without adapters and averages, without autodiff.
    pub(super) fn base_model(&self) -> Clip {
        self.model.valid()
    }

    /// What the loss is multiplied with, in half precision.
    pub(super) fn loss_scale(&self) -> Option<LossScale> {
        self.loss_scale
    }

    /// The model with averaged weights, where there are some, without autodiff.
    pub(super) fn averaged_model(&self) -> Clip {
        let model = self.model.valid();
        match &self.average {
            Some(average) => average.of(model),
            None => model,
        }
    }

    /// Its optimiser.
    pub(super) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// What of the model learns.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// The average of the weights, where there is one.
    pub(super) fn average(&self) -> Option<&Average> {
        self.average.as_ref()
    }

    /// Steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The model as it is now, recording gradients.
    pub fn model(&self) -> &Clip {
        &self.model
    }

    /// The model as it is used: averaged weights where there are some, adapters added to theirs, without autodiff, in
    /// full precision.
    pub fn inference_model(&self) -> Clip {
        self.averaged_model().materialize().in_half(false)
    }

    /// The device trained on.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Changes what learns, and the optimiser's settings; its moments start anew where either differs from before. New
    /// adapters are drawn from `seed`. An average of the weights begins, or ends: the model is then what it had become.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn set_options(
        &mut self,
        options: OptimizerOptions,
        tuning: Tuning,
        ema_decay: Option<f64>,
        seed: u64,
    ) -> Result<()> {
        options.validate()?;
        tuning.validate()?;
        if let Some(average) = self.average.take_if(|average| tuning != self.tuning || Some(average.decay) != ema_decay)
        {
            self.model = average.of(self.model.clone());
        }
        if tuning != self.tuning {
            self.model = tuning.apply(self.model.clone(), seed);
            self.tuning = tuning;
            self.optimizer = Optimizer::new(options);
        } else if options != *self.optimizer.options() {
            self.optimizer = Optimizer::new(options);
        }
        if let (Some(decay), None) = (ema_decay, &self.average) {
            self.average = Some(Average::new(decay, &self.model));
        }
        Ok(())
    }

    /// Multiplies the blocks' matrices in half precision from now on, or in full.
    pub fn set_half(&mut self, half: bool) {
        if half != self.loss_scale.is_some() {
            self.loss_scale = half.then_some(LossScale::FIRST);
            self.model = self.model.clone().in_half(half);
        }
    }

    /// Loss of a batch and the gradient of every parameter, as a module whose values are the gradients.
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`.
    pub async fn gradients(&self, batch: &impl Batch, options: &LossOptions) -> Result<(f32, GradientsParams)> {
        let Outcome { loss, gradients, .. } = gradients(&self.model, batch, options, self.step)?;
        Ok((read(loss).await?[0], gradients))
    }

    /// Gradient of the loss, a step of the optimiser at rate `lr`, `logit_scale` clamped to [0, ln 100].
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`; `loss-not-finite`, also where a gradient is not, or what the step
    /// would make of the weights; all is then left as it was.
    pub async fn train_step(&mut self, batch: &impl Batch, lr: f64, options: &StepOptions) -> Result<StepReport> {
        let ((report, gradients), scale) = loop {
            let scale = self.loss_scale.unwrap_or_default();
            let measured = self.measure(batch, &LossOptions { scale, ..options.loss }).await?;
            let StepReport { loss, gradient_norm, .. } = measured.0;
            if loss.is_finite() && gradient_norm.is_finite() {
                break (measured, scale);
            }
            match self.loss_scale.and_then(LossScale::after_overflow) {
                // they may have been too large for half precision
                Some(less) if loss.is_finite() => self.loss_scale = Some(less),
                _ => {
                    let (what, got) =
                        if loss.is_finite() { ("finite gradients", gradient_norm) } else { ("a finite loss", loss) };
                    return Err(ClipError::LossNotFinite { what, step: self.step + 1, got });
                }
            }
        };
        // torch.nn.utils.clip_grad_norm_
        let clip = options.clip_norm.map_or(1.0, |most| (most / (f64::from(report.gradient_norm) + 1e-6)).min(1.0));
        let daring = guard::is_daring(lr, self.optimizer.options(), self.tuning);
        let before = daring.then(|| self.optimizer.copy(&self.model));
        let mut model = self.optimizer.step(lr, self.model.clone(), gradients, (clip / scale.value()) as f32);
        model.logit_scale = clamp_logit_scale(model.logit_scale);
        if let Some(before) = before
            && let Err(error) = guard::check(&model, batch, &options.loss, self.step).await
        {
            self.optimizer = before;
            return Err(error);
        }
        self.model = model;
        if let Some(average) = &mut self.average {
            average.update(&self.model);
        }
        self.loss_scale = self.loss_scale.map(LossScale::after_step);
        self.step += 1;
        Ok(report)
    }

    /// What a batch gives, before anything is done with it: the gradients are times the scale of the loss.
    async fn measure(&self, batch: &impl Batch, options: &LossOptions) -> Result<(StepReport, GradientsParams)> {
        let Outcome { loss, gradients, likeness } = gradients(&self.model, batch, options, self.step)?;
        let unscale = options.scale.value().recip();
        let norm = norm(&self.model, &gradients).map_or_else(|| loss.zeros_like(), |norm| norm * unscale);
        // a loss that is a number may have gradients that are none; one read for all: each costs a round trip to the GPU
        let wanted = vec![loss, self.model.logit_scale.val().inner(), norm, likeness];
        let values = read(Tensor::cat(wanted, 0)).await?;
        let [loss, logit_scale, gradient_norm, of_images, of_texts] = values[..] else {
            return Err(ClipError::DeviceFailed { message: format!("expected 5 numbers, got {}", values.len()) });
        };
        let likeness = [of_images, of_texts];
        Ok((StepReport { step: self.step, loss, logit_scale, gradient_norm, likeness }, gradients))
    }
}

/// Keeps the parameter a leaf: the clamp is no part of the next step's graph.
fn clamp_logit_scale(param: Param<Tensor<1>>) -> Param<Tensor<1>> {
    param.map(|x| {
        let learns = x.is_require_grad();
        Tensor::from_inner(x.inner().clamp(0.0, LOGIT_SCALE_MAX)).set_require_grad(learns)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu, cpu};
    use crate::model::TextBatch;

    #[test]
    fn gradients_too_large_for_half_precision_are_computed_again_at_a_smaller_scale() {
        let config = ClipConfig::from_json(
            r#"{"embedDim":8,"vision":{"imageSize":8,"patchSize":4,"width":16,"layers":2,"heads":2},
                "text":{"contextLength":6,"width":16,"layers":2,"heads":2,"vocabSize":20}}"#,
        )
        .unwrap();
        let pixels: Vec<f32> = (0..4 * 3 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
        let pixels = Tensor::<4>::from_data(TensorData::new(pixels, [4, 3, 8, 8]), &cpu());
        let ids: Vec<i32> = (0..24).map(|i| if i % 6 == 5 { 19 } else { i % 17 }).collect();
        let batch = (pixels, TextBatch::new(&ids, 4, &config.text).unwrap());
        let after = |scale: Option<LossScale>| {
            let mut trainer = Trainer::new(config.init(1, &cpu().autodiff()));
            trainer.set_half(scale.is_some());
            trainer.loss_scale = scale;
            let report = block_on_cpu(trainer.train_step(&batch, 1e-3, &StepOptions::default())).unwrap();
            (report, trainer.loss_scale)
        };
        let (full, _) = after(None);
        let (plain, first) = after(Some(LossScale::FIRST));
        let largest = (0..16_000).fold(LossScale::FIRST, |scale, _| scale.after_step());
        let (shrunk, less) = after(Some(largest));
        assert!(less.unwrap().value() < largest.value() && first.unwrap().value() <= 65_536.0);
        for report in [plain, shrunk] {
            assert!((report.loss / full.loss - 1.0).abs() < 0.01);
            assert!((report.gradient_norm / full.gradient_norm - 1.0).abs() < 0.02, "{report:?} {full:?}");
        }
    }
}
