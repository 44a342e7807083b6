//! AdamW in two groups (arXiv 1711.05101; CLIP, arXiv 2103.00020, section 2.5), and Muon for the blocks' matrices where that
//! is asked for.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use clip_kernels::{self as kernels, AdamWRates};
use serde::{Deserialize, Serialize};

use super::muon::MuonOptions;
use super::tuning::matrix_parts;
use super::values::copy;
use crate::error::{ClipError, Result};
use crate::exact;
use crate::model::{Clip, ParamMapper, map_params};

/// Settings of AdamW; the defaults are OpenCLIP's for a Vision Transformer, with CLIP's weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    #[serde(with = "exact")]
    pub beta_1: f64,
    /// Decay of the second moment.
    #[serde(with = "exact")]
    pub beta_2: f64,
    /// Added to the root of the second moment.
    #[serde(with = "exact")]
    pub epsilon: f64,
    /// Decoupled decay, on tensors of two or more dimensions only.
    #[serde(with = "exact")]
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-6, weight_decay: 0.2 }
    }
}

impl AdamWOptions {
    /// # Errors
    /// `invalid-option` naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("beta1", self.beta_1, (0.0..1.0).contains(&self.beta_1), "0 ≤ beta1 < 1"),
            ("beta2", self.beta_2, (0.0..1.0).contains(&self.beta_2), "0 ≤ beta2 < 1"),
            ("epsilon", self.epsilon, is_positive(self.epsilon), POSITIVE),
            ("weightDecay", self.weight_decay, is_decay(self.weight_decay), DECAY),
        ];
        refuse_first(&checks)
    }
}

/// What a number above 0 should be: beyond these, single precision has 0 or an infinity.
pub(super) const POSITIVE: &str = "a number from 1.2e-38 to 3.4e38";
/// What a decay should be.
pub(super) const DECAY: &str = "0, or a number from 1.2e-38 to 3.4e38";

/// Whether a number is above 0 also in single precision, in which GPUs have no subnormal numbers.
pub(super) fn is_positive(value: f64) -> bool {
    value > 0.0 && (value as f32).is_normal()
}

/// The same, or 0.
pub(super) fn is_decay(value: f64) -> bool {
    value == 0.0 || is_positive(value)
}

/// Refuses the first value that is not as it should be: its option's name, the value, whether it is, and what it should be.
pub(super) fn refuse_first(checks: &[(&str, f64, bool, &str)]) -> Result<()> {
    match checks.iter().find(|(_, _, ok, _)| !ok) {
        None => Ok(()),
        Some((option, got, _, expected)) => Err(ClipError::invalid_option(option, expected, got)),
    }
}

/// Settings of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OptimizerOptions {
    /// AdamW's.
    pub adamw: AdamWOptions,
    /// Muon's, which then trains the matrices of the blocks, and its learning rate over AdamW's.
    pub muon: Option<(MuonOptions, f64)>,
}

impl OptimizerOptions {
    /// # Errors
    /// `invalid-option` naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        self.adamw.validate()?;
        self.muon.map_or(Ok(()), |(muon, _)| muon.validate())
    }
}

/// AdamW with decay on the matrices (embeddings among them), without it on gains, biases, the class embedding and
/// `logit_scale`; Muon for some. Ours and not Burn's, whose moments cannot be read or written where reading has to be waited
/// for.
pub struct Optimizer {
    options: OptimizerOptions,
    /// Steps done.
    pub(super) steps: usize,
    /// First moment of each parameter that had a gradient yet: all that Muon has.
    pub(super) exp_avg: GradientsParams,
    /// Second moment.
    pub(super) exp_avg_sq: GradientsParams,
}

impl Optimizer {
    /// Without moments.
    pub fn new(options: OptimizerOptions) -> Self {
        Self { options, steps: 0, exp_avg: GradientsParams::new(), exp_avg_sq: GradientsParams::new() }
    }

    /// With the moments of earlier steps.
    pub(super) fn resume(
        options: OptimizerOptions,
        steps: usize,
        exp_avg: GradientsParams,
        exp_avg_sq: GradientsParams,
    ) -> Self {
        Self { options, steps, exp_avg, exp_avg_sq }
    }

    /// The same, apart from what later steps of this one do: tensors are not copied.
    pub(super) fn copy(&self, model: &Clip) -> Self {
        let [exp_avg, exp_avg_sq] = [&self.exp_avg, &self.exp_avg_sq].map(|moments| copy(model, moments));
        Self { exp_avg, exp_avg_sq, ..*self }
    }

    /// Its settings.
    pub fn options(&self) -> &OptimizerOptions {
        &self.options
    }

    /// One update at rate `lr`; `scale` multiplies every gradient before.
    pub fn step(&mut self, lr: f64, model: Clip, gradients: GradientsParams, scale: f32) -> Clip {
        self.steps += 1;
        map_params(model, &mut Update { optimizer: self, lr, gradients, scale })
    }
}

struct Update<'a> {
    optimizer: &'a mut Optimizer,
    lr: f64,
    gradients: GradientsParams,
    scale: f32,
}

impl Update<'_> {
    fn adamw<const D: usize>(&mut self, param: Param<Tensor<D>>, gradient: Tensor<D>) -> Param<Tensor<D>> {
        let Optimizer { options, steps, exp_avg, exp_avg_sq } = &mut *self.optimizer;
        let AdamWOptions { beta_1, beta_2, epsilon, weight_decay } = options.adamw;
        let t = *steps as i32;
        let rates = AdamWRates {
            gradient_scale: self.scale,
            beta_1: beta_1 as f32,
            one_minus_beta_1: (1.0 - beta_1) as f32,
            beta_2: beta_2 as f32,
            one_minus_beta_2: (1.0 - beta_2) as f32,
            step_size: (self.lr / (1.0 - beta_1.powi(t))) as f32,
            bias_correction_2_sqrt: (1.0 - beta_2.powi(t)).sqrt() as f32,
            epsilon: epsilon as f32,
            decay_factor: (if D < 2 { 1.0 } else { 1.0 - self.lr * weight_decay }) as f32,
        };
        let [first, second] = [exp_avg.remove::<D>(param.id), exp_avg_sq.remove::<D>(param.id)]
            .map(|moment| moment.unwrap_or_else(|| gradient.zeros_like()));
        let [value, first, second] = kernels::adamw([param.val().inner(), gradient, first, second], rates);
        exp_avg.register(param.id, first);
        exp_avg_sq.register(param.id, second);
        // a leaf again: the update is no part of the next step's graph
        param.map(|_| Tensor::from_inner(value).require_grad())
    }
}

impl ParamMapper for Update<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let parts = matrix_parts(path);
        let (Some((muon, ratio)), Some(parts)) = (self.optimizer.options.muon, parts) else {
            return self.adamw(param, gradient);
        };
        let shape = gradient.dims();
        let matrix = |tensor: Tensor<D>| tensor.reshape([shape[0], shape[D - 1]]); // the same shape: D is 2
        let momentum = self.optimizer.exp_avg.remove::<D>(param.id).map(matrix);
        let lr = self.lr * ratio;
        let (value, momentum) =
            muon.step(lr, matrix(param.val().inner()), momentum, matrix(gradient) * self.scale, parts);
        self.optimizer.exp_avg.register(param.id, momentum.reshape(shape));
        param.map(|_| Tensor::from_inner(value.reshape(shape)).require_grad())
    }
}
