//! Exponential moving average of the weights: less noisy than the weights after any one step.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::values::{replace, trainable};
use crate::model::{Clip, ParamVisitor, visit_params};

/// The average of each trainable parameter.
pub(super) struct Average {
    /// Weight of the old average in a step's new one.
    pub(super) decay: f64,
    /// Steps averaged.
    pub(super) steps: usize,
    pub(super) values: GradientsParams,
}

impl Average {
    /// Starts with a model's parameters.
    pub(super) fn new(decay: f64, model: &Clip) -> Self {
        Self { decay, steps: 0, values: trainable(model) }
    }

    /// Adds a step's parameters. The first steps count more, by
    /// <https://github.com/huggingface/pytorch-image-models/blob/v1.0.9/timm/utils/model_ema.py#L118>'s `(1 + n) / (10 + n)`.
    pub(super) fn update(&mut self, model: &Clip) {
        let n = self.steps as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        self.steps += 1;
        visit_params(model, &mut Blend { values: &mut self.values, decay });
    }

    /// Returns the model with each averaged parameter replaced by its average.
    pub(super) fn apply(&self, model: Clip) -> Clip {
        replace(model, &self.values)
    }
}

struct Blend<'a> {
    values: &'a mut GradientsParams,
    decay: f64,
}

impl ParamVisitor for Blend<'_> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if let Some(old) = self.values.remove::<D>(param.id) {
            self.values.register(param.id, old * self.decay + param.base().inner() * (1.0 - self.decay));
        }
    }
}
