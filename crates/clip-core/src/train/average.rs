//! Exponential moving average of the weights: what is learned in the last many steps, without the noise of each.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::values::{learning, replace};
use crate::model::{Clip, ParamVisitor, visit_params};

/// The average of each parameter that learns.
pub(super) struct Average {
    /// Share of the old average that a step leaves.
    pub(super) decay: f64,
    /// Steps in it.
    pub(super) steps: usize,
    pub(super) values: GradientsParams,
}

impl Average {
    /// Begins with a model as it is.
    pub(super) fn new(decay: f64, model: &Clip) -> Self {
        Self { decay, steps: 0, values: learning(model) }
    }

    /// Takes in what a step made; the first ones count more, as in
    /// <https://github.com/huggingface/pytorch-image-models/blob/v1.0.9/timm/utils/model_ema.py#L118>'s `(1 + n) / (10 + n)`.
    pub(super) fn update(&mut self, model: &Clip) {
        let n = self.steps as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        self.steps += 1;
        visit_params(model, &mut Blend { values: &mut self.values, decay });
    }

    /// A model with the averages in the place of its values.
    pub(super) fn of(&self, model: Clip) -> Clip {
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
