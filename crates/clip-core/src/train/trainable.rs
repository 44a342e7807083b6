//! A model that encodes, made one that learns.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use clip_kernels::widen;

use crate::bundle::Bundle;

impl Bundle {
    /// The same, able to learn.
    #[must_use]
    pub fn into_trainable(self) -> Self {
        let device = self.model.device().autodiff();
        let model = self.model.map(&mut Widen);
        Self { model: model.to_device(&device).train(), ..self }
    }
}

/// Training computes with what it keeps.
struct Widen;

impl ModuleMapper for Widen {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(widen)
    }
}
