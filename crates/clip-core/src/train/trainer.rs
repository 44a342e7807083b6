//! One training step: loss, gradients, update.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::average::Average;
use super::batch::Batch;
use super::gradients::{LossOptions, Outcome, gradients, norm};
use super::guard;
use super::loss_scale::LossScale;
use super::optimizer::Optimizer;
use super::options::{OptimizerOptions, Tuning};
use super::ranks::Ranks;
use super::state::{AverageMetadata, RunMetadata, StateMetadata};
use super::values::{Values, read_group, replace, trainable};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::{Clip, MatmulPrecision};

/// ln 100: exp(logit_scale) is capped at 100 (arXiv 2103.00020, section 2.5).
const LOGIT_SCALE_MAX: f64 = 4.605_170_185_988_092;

/// Groups of the tensors beside the weights.
const EXP_AVG: &str = "exp_avg";
const EXP_AVG_SQ: &str = "exp_avg_sq";
const ADAPTER: &str = "adapter";
const AVERAGE: &str = "average";

/// Result of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done before this one.
    pub step: usize,
    /// Loss before the update.
    pub loss: f32,
    /// `logit_scale` before the update.
    pub logit_scale: f32,
    /// Norm of all gradients as one vector, before clipping.
    pub gradient_norm: f32,
    /// Mean cosine of two different images, and of two different captions, of the batch.
    pub likeness: [f32; 2],
}

/// Options of a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepOptions {
    /// Options of the loss.
    pub loss: LossOptions,
    /// Largest norm of all gradients as one vector; larger gradients are scaled down to it.
    pub clip_norm: Option<f64>,
}

/// A model, its optimiser and what else training keeps, through any number of runs.
pub struct Trainer {
    model: Clip,
    tuning: Tuning,
    optimizer: Optimizer,
    average: Option<Average>,
    precision: MatmulPrecision,
    /// Scale of the loss in f16; `None` in other precisions, whose exponents suffice.
    loss_scale: Option<LossScale>,
    step: usize,
    ranks: Ranks,
}

impl Trainer {
    /// Starts with a model on a device with autodiff, every parameter trainable.
    pub fn new(model: Clip) -> Self {
        let optimizer = Optimizer::new(OptimizerOptions::default());
        Self {
            model,
            tuning: Tuning::All,
            optimizer,
            average: None,
            precision: MatmulPrecision::F32,
            loss_scale: None,
            step: 0,
            ranks: Ranks::default(),
        }
    }

    /// Restores a saved trainer from one with the same weights, its metadata, and the tensors that [`values`](Self::values) gave.
    ///
    /// # Errors
    /// `invalid-checkpoint`.
    pub(super) fn resume(fresh: Self, metadata: &StateMetadata, values: &[u8]) -> Result<Self> {
        let device = fresh.model.device().inner();
        let model = metadata.tuning.apply(fresh.model, 0);
        let group = |name: &str| read_group(values, name, &model, &device);
        let optimizer =
            Optimizer::resume(metadata.optimizer(), metadata.optimizer_steps, group(EXP_AVG)?, group(EXP_AVG_SQ)?);
        let average = match metadata.average {
            Some(AverageMetadata { decay, steps }) => Some(Average { decay, steps, values: group(AVERAGE)? }),
            None => None,
        };
        let adapters = group(ADAPTER)?;
        let (tuning, loss_scale, step) = (metadata.tuning, metadata.loss_scale, metadata.steps);
        let precision = if loss_scale.is_some() { MatmulPrecision::F16 } else { fresh.precision };
        let model = replace(model, &adapters).in_precision(precision);
        Ok(Self { model, tuning, optimizer, average, precision, loss_scale, step, ranks: fresh.ranks })
    }

    /// Returns the tensors beside the weights: moments, averages, adapters.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        values.add(EXP_AVG, &self.model, &self.optimizer.exp_avg);
        values.add(EXP_AVG_SQ, &self.model, &self.optimizer.exp_avg_sq);
        if let Some(average) = &self.average {
            values.add(AVERAGE, &self.model, &average.values);
        }
        if let Tuning::Lora { .. } = self.tuning {
            values.add(ADAPTER, &self.model, &trainable(&self.model));
        }
        values
    }

    /// Returns the weights without adapters and averages, without autodiff.
    pub(super) fn base_model(&self) -> Clip {
        self.model.valid()
    }

    /// Returns a state's metadata, of this trainer and a run.
    pub(super) fn metadata(&self, run: Option<RunMetadata>) -> StateMetadata {
        let average =
            self.average.as_ref().map(|average| AverageMetadata { decay: average.decay, steps: average.steps });
        let (options, steps) = (self.optimizer.options(), self.optimizer.steps);
        StateMetadata::new(self.step, (options, steps), self.tuning, average, self.loss_scale, run)
    }

    /// Returns the model with averaged weights, if it averages, without autodiff.
    pub(super) fn averaged_model(&self) -> Clip {
        let model = self.model.valid();
        match &self.average {
            Some(average) => average.apply(model),
            None => model,
        }
    }

    /// Which parameters are trained.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// Steps taken.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The current model, with autodiff.
    pub fn model(&self) -> &Clip {
        &self.model
    }

    /// Returns the model for encoding: weights averaged, if it averages, adapters merged, without autodiff, in f32.
    pub fn inference_model(&self) -> Clip {
        self.averaged_model().materialize().in_precision(MatmulPrecision::F32)
    }

    /// Device of the model.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// The ranks that train the model together.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Trains with other ranks from now on, whose weights are the same.
    pub fn set_ranks(&mut self, ranks: Ranks) {
        self.ranks = ranks;
    }

    /// Changes the optimiser's settings and which parameters are trained; a change of either resets the moments. New adapters
    /// are drawn from `seed`. When averaging ends, the averaged weights become the model's.
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
            self.model = average.apply(self.model.clone());
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

    /// Switches the products of the blocks' matrices to another precision.
    pub fn set_precision(&mut self, precision: MatmulPrecision) {
        if precision != self.precision {
            self.loss_scale = (precision == MatmulPrecision::F16).then_some(LossScale::INITIAL);
            self.model = self.model.clone().in_precision(precision);
            self.precision = precision;
        }
    }

    /// Returns the loss of a batch and the gradient of every trainable parameter.
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`.
    pub async fn gradients(&self, batch: &impl Batch, options: &LossOptions) -> Result<(f32, GradientsParams)> {
        let Outcome { loss, gradients, .. } = gradients(&self.model, batch, options, self.step, &self.ranks).await?;
        Ok((read(loss).await?[0], gradients))
    }

    /// Takes a step of the optimiser at rate `lr` and clamps `logit_scale` to [0, ln 100].
    ///
    /// # Errors
    /// `count-mismatch`, `batch-too-small`, `device-failed`; `loss-not-finite` if the loss, a gradient or a weight after the step is
    /// not finite, with everything left as before the step.
    pub async fn train_step(&mut self, batch: &impl Batch, lr: f64, options: &StepOptions) -> Result<StepReport> {
        let ((report, gradients), scale) = loop {
            let scale = self.loss_scale.unwrap_or_default();
            let measured = self.measure(batch, &LossOptions { scale, ..options.loss }).await?;
            let StepReport { loss, gradient_norm, .. } = measured.0;
            if loss.is_finite() && gradient_norm.is_finite() {
                break (measured, scale);
            }
            match self.loss_scale.and_then(LossScale::after_overflow) {
                // the gradients may have overflowed f16
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
        let risky = guard::is_risky(lr, self.optimizer.options(), self.tuning);
        let before = risky.then(|| self.optimizer.copy(&self.model));
        let mut model = self.optimizer.step(lr, self.model.clone(), gradients, (clip / scale.value()) as f32);
        model.logit_scale = clamp_logit_scale(model.logit_scale);
        if let Some(before) = before
            && let Err(error) = guard::check(&model, batch, &options.loss, self.step, &self.ranks).await
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

    /// Returns a batch's figures and its gradients; the gradients are multiplied by the loss scale.
    async fn measure(&self, batch: &impl Batch, options: &LossOptions) -> Result<(StepReport, GradientsParams)> {
        let Outcome { loss, gradients, likeness } =
            gradients(&self.model, batch, options, self.step, &self.ranks).await?;
        let unscale = options.scale.value().recip();
        let norm = norm(&self.model, &gradients).map_or_else(|| loss.zeros_like(), |norm| norm * unscale);
        // a finite loss may have gradients that are not; one read for all, as each is a round trip to the GPU
        let figures = vec![loss, self.model.logit_scale.val().inner(), norm, likeness];
        let values = self.ranks.first(read(Tensor::cat(figures, 0)).await?);
        let [loss, logit_scale, gradient_norm, of_images, of_texts] = values[..] else {
            return Err(ClipError::DeviceFailed { message: format!("expected 5 numbers, got {}", values.len()) });
        };
        let likeness = [of_images, of_texts];
        Ok((StepReport { step: self.step, loss, logit_scale, gradient_norm, likeness }, gradients))
    }
}

/// Clamps the parameter and keeps it a leaf: the clamp must not be part of the next step's graph.
fn clamp_logit_scale(param: Param<Tensor<1>>) -> Param<Tensor<1>> {
    param.map(|x| {
        let trainable = x.is_require_grad();
        Tensor::from_inner(x.inner().clamp(0.0, LOGIT_SCALE_MAX)).set_require_grad(trainable)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::optimizer::testing::{adamw, muon};
    use super::*;
    use crate::checkpoint::{Layout, save};
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu as now, cpu};
    use crate::model::TextBatch;

    const ALL: Tuning = Tuning::All;

    fn config() -> ClipConfig {
        ClipConfig::from_json(
            r#"{"embedDim":8,"vision":{"imageSize":8,"patchSize":4,"width":16,"layers":2,"heads":2},
                "text":{"contextLength":6,"width":16,"layers":2,"heads":2,"vocabSize":20}}"#,
        )
        .unwrap()
    }

    fn batch() -> (Tensor<4>, TextBatch) {
        let pixels: Vec<f32> = (0..4 * 3 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
        let ids: Vec<i32> = (0..24).map(|i| if i % 6 == 5 { 19 } else { i % 17 }).collect();
        let pixels = Tensor::from_data(TensorData::new(pixels, [4, 3, 8, 8]), &cpu());
        (pixels, TextBatch::new(&ids, 4, &config().text).unwrap())
    }

    /// Everything that a saved state holds.
    fn state(trainer: &Trainer) -> (Vec<u8>, Vec<u8>, usize) {
        let model = now(save(&trainer.inference_model(), &config(), Layout::Hf, Default::default())).unwrap();
        (model, now(trainer.values().into_bytes()).unwrap(), trainer.step())
    }

    #[test]
    fn a_step_to_infinite_weights_is_refused_and_changes_nothing() {
        let lora = |alpha| Tuning::Lora { rank: 2, alpha };
        let cases = [
            ("rate", 1e30, OptimizerOptions::default(), ALL),
            ("largest rate", 3e38, OptimizerOptions::default(), ALL),
            ("decay", 1e-3, adamw(|adamw| adamw.weight_decay = 1e38), ALL),
            ("decay beyond single precision", 1e3, adamw(|adamw| adamw.weight_decay = 1e38), ALL),
            ("epsilon", 1e12, adamw(|adamw| adamw.epsilon = 1.2e-38), ALL),
            ("betas", 1e25, adamw(|adamw| (adamw.beta_1, adamw.beta_2) = (0.999, 0.0)), ALL),
            ("Muon", 1e-3, muon(1e30, 1e-3, 0.1), ALL),
            ("Muon's decay", 1e-3, muon(1e-2, 1e-3, 1e38), ALL),
            ("adapters", 1e-3, OptimizerOptions::default(), lora(1e38)),
            ("last blocks", 1e30, OptimizerOptions::default(), Tuning::LastBlocks(1)),
        ];
        let losses = [
            LossOptions::default(),
            LossOptions { micro_batch_size: Some(3), ..LossOptions::default() },
            LossOptions { activation_checkpointing: true, patch_dropout: 0.5, ..LossOptions::default() },
        ];
        for (name, lr, options, tuning) in cases {
            for (precision, loss) in
                [MatmulPrecision::F32, MatmulPrecision::F16].into_iter().flat_map(|of| losses.map(|loss| (of, loss)))
            {
                let mut trainer = Trainer::new(config().init(1, &cpu().autodiff()));
                trainer.set_precision(precision);
                trainer.set_options(options, tuning, Some(0.9), 1).unwrap();
                let step = |trainer: &mut Trainer, lr| {
                    now(trainer.train_step(&batch(), lr, &StepOptions { loss, clip_norm: None }))
                };
                // fills the moments; at so small a rate only decay and adapters can ruin the weights
                let begun = step(&mut trainer, 1e-30);
                let before = state(&trainer);
                let error = step(&mut trainer, lr).unwrap_err();
                assert_eq!(error.code(), "loss-not-finite", "{name}");
                let number = if begun.is_ok() { "step 2" } else { "step 1" };
                assert!(error.to_string().contains(number), "{name}: {error}");
                assert!(state(&trainer) == before, "{name}, {precision}, {loss:?}");
            }
        }
    }

    #[test]
    fn a_risky_step_with_finite_weights_is_taken() {
        for lr in [1e-3, 0.05, 0.5, 3.0] {
            let mut trainer = Trainer::new(config().init(1, &cpu().autodiff()));
            for step in 0..5 {
                let report = now(trainer.train_step(&batch(), lr, &StepOptions::default())).unwrap();
                assert!(report.loss.is_finite() && report.step == step);
            }
        }
    }

    #[test]
    fn gradients_that_overflow_f16_are_recomputed_at_a_smaller_scale() {
        let batch = batch();
        let after = |scale: Option<LossScale>| {
            let mut trainer = Trainer::new(config().init(1, &cpu().autodiff()));
            trainer.set_precision(if scale.is_some() { MatmulPrecision::F16 } else { MatmulPrecision::F32 });
            trainer.loss_scale = scale;
            let report = now(trainer.train_step(&batch, 1e-3, &StepOptions::default())).unwrap();
            (report, trainer.loss_scale)
        };
        let (full, _) = after(None);
        let (plain, first) = after(Some(LossScale::INITIAL));
        let largest = (0..16_000).fold(LossScale::INITIAL, |scale, _| scale.after_step());
        let (shrunk, less) = after(Some(largest));
        assert!(less.unwrap().value() < largest.value() && first.unwrap().value() <= 65_536.0);
        for report in [plain, shrunk] {
            assert!((report.loss / full.loss - 1.0).abs() < 0.01);
            assert!((report.gradient_norm / full.gradient_norm - 1.0).abs() < 0.02, "{report:?} {full:?}");
        }
    }
}
