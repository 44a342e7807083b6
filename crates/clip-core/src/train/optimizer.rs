//! AdamW in two groups (arXiv 1711.05101; CLIP, arXiv 2103.00020, section 2.5).

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamW, AdamWConfig, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::error::{ClipError, Result};
use crate::model::Clip;

/// Settings of AdamW; the defaults are OpenCLIP's for a Vision Transformer, with CLIP's weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay, on tensors of two or more dimensions only.
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
            ("epsilon", self.epsilon, self.epsilon > 0.0 && self.epsilon.is_finite(), "a finite number above 0"),
            (
                "weightDecay",
                self.weight_decay,
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "a finite number, 0 or more",
            ),
        ];
        match checks.iter().find(|(_, _, ok, _)| !ok) {
            None => Ok(()),
            Some((option, got, _, expected)) => Err(ClipError::InvalidOption {
                option: (*option).into(),
                expected: (*expected).into(),
                got: got.to_string(),
            }),
        }
    }
}

/// AdamW with decay on the matrices (embeddings among them), without it on gains, biases, the class embedding and
/// `logit_scale`.
pub fn adamw(options: &AdamWOptions, model: &Clip) -> ModuleOptimizer {
    let group = |weight_decay: f64| -> AdamW {
        AdamWConfig::new()
            .with_beta_1(options.beta_1 as f32)
            .with_beta_2(options.beta_2 as f32)
            .with_epsilon(options.epsilon as f32)
            .with_weight_decay(weight_decay as f32)
            .build()
    };
    let mut vectors = Vectors::default();
    model.visit(&mut vectors);
    ModuleOptimizer::from(group(options.weight_decay)).with_group(ParamGroup::from_ids(vectors.ids), group(0.0), None)
}

/// Collects the parameters of one dimension.
#[derive(Default)]
struct Vectors {
    ids: Vec<ParamId>,
}

impl ModuleVisitor for Vectors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D < 2 {
            self.ids.push(param.id);
        }
    }
}
