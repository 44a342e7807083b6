//! A model that encodes, made one that learns.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use clip_kernels::to_f32;

use crate::bundle::Bundle;
use crate::model::{ParamMapper, map_params};

impl Bundle {
    /// The same, able to learn.
    #[must_use]
    pub fn into_trainable(self) -> Self {
        let device = self.model.device().autodiff();
        let model = map_params(self.model, &mut Widen);
        Self { model: model.to_device(&device).train(), ..self }
    }
}

/// Training computes with what it keeps.
struct Widen;

impl ParamMapper for Widen {
    fn map<const D: usize>(&mut self, _path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(to_f32)
    }
}
