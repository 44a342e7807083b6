//! Turns a model that encodes into one that trains.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use clip_kernels::to_f32;

use crate::bundle::Bundle;
use crate::model::{ParamMapper, map_params};

impl Bundle {
    /// Returns the bundle on a device with autodiff, its weights in full precision.
    #[must_use]
    pub fn into_trainable(self) -> Self {
        let device = self.model.device().autodiff();
        let model = map_params(self.model, &mut Widen);
        Self { model: model.to_device(&device).train(), ..self }
    }
}

/// Casts to f32: the optimiser updates weights in full precision.
struct Widen;

impl ParamMapper for Widen {
    fn map<const D: usize>(&mut self, _path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(to_f32)
    }
}
