//! The optimiser (arXiv 1711.05101): AdamW, with Muon for the blocks' matrices where that is set.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use clip_kernels::{self as kernels, AdamWRates};

use super::options::{AdamWOptions, OptimizerOptions};
use super::values::copy;
use crate::model::{Clip, ParamMapper, map_params, matrix_parts};

/// AdamW with weight decay on matrices (embeddings among them) and without it on gains, biases, the class embedding and
/// `logit_scale`; Muon for the blocks' matrices where it is set.
///
/// Burn's optimisers cannot be used: their moments are saved synchronously, and reading a tensor on the web is not.
pub struct Optimizer {
    options: OptimizerOptions,
    /// Steps taken.
    pub(super) steps: usize,
    /// First moment of each parameter that has had a gradient; Muon's momentum.
    pub(super) exp_avg: GradientsParams,
    /// Second moment of each parameter that AdamW has updated.
    pub(super) exp_avg_sq: GradientsParams,
}

impl Optimizer {
    /// Starts without moments.
    pub fn new(options: OptimizerOptions) -> Self {
        Self { options, steps: 0, exp_avg: GradientsParams::new(), exp_avg_sq: GradientsParams::new() }
    }

    /// Continues with the moments of earlier steps.
    pub(super) fn resume(
        options: OptimizerOptions,
        steps: usize,
        exp_avg: GradientsParams,
        exp_avg_sq: GradientsParams,
    ) -> Self {
        Self { options, steps, exp_avg, exp_avg_sq }
    }

    /// Returns a copy that later steps of this one do not change; tensors are shared.
    pub(super) fn copy(&self, model: &Clip) -> Self {
        let [exp_avg, exp_avg_sq] = [&self.exp_avg, &self.exp_avg_sq].map(|moments| copy(model, moments));
        Self { exp_avg, exp_avg_sq, ..*self }
    }

    /// Its settings.
    pub fn options(&self) -> &OptimizerOptions {
        &self.options
    }

    /// Updates a model at rate `lr`, with every gradient multiplied by `scale` first.
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
        // a leaf again: the update must not be part of the next step's graph
        param.map(|_| Tensor::from_inner(value).require_grad())
    }
}

impl ParamMapper for Update<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (Some((muon, ratio)), Some(parts)) = (self.optimizer.options.muon, matrix_parts(path)) else {
            return self.adamw(param, gradient);
        };
        let shape = gradient.dims();
        let matrix = |tensor: Tensor<D>| tensor.reshape([shape[0], shape[D - 1]]); // [d_in, d_out] already: D is 2
        let momentum = self.optimizer.exp_avg.remove::<D>(param.id).map(matrix);
        let lr = self.lr * ratio;
        let (value, momentum) =
            muon.step(lr, matrix(param.val().inner()), momentum, matrix(gradient) * self.scale, parts);
        self.optimizer.exp_avg.register(param.id, momentum.reshape(shape)); // [d_in, d_out]
        param.map(|_| Tensor::from_inner(value.reshape(shape)).require_grad()) // [d_in, d_out]
    }
}

/// Options of an optimiser, for tests.
#[cfg(test)]
pub(super) mod testing {
    use super::super::options::{AdamWOptions, MuonOptions};
    use super::OptimizerOptions;

    pub(in crate::train) fn adamw(change: impl FnOnce(&mut AdamWOptions)) -> OptimizerOptions {
        let mut options = OptimizerOptions::default();
        change(&mut options.adamw);
        options
    }

    pub(in crate::train) fn muon(lr: f64, base: f64, weight_decay: f64) -> OptimizerOptions {
        let muon = MuonOptions { lr, momentum: 0.95, weight_decay };
        OptimizerOptions { muon: Some((muon, lr / base)), ..OptimizerOptions::default() }
    }
}
