//! Layer normalisation (arXiv 1607.06450) over the last dimension.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::init::ParamInit;

/// Layer norm with gain and bias, named as PyTorch names them.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Gain, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Bias, `[width]`.
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Gain one, bias zero.
    pub fn init(width: usize, eps: f64, init: &mut ParamInit<'_>) -> Self {
        Self { weight: init.constant([width], 1.0), bias: init.constant([width], 0.0), eps }
    }

    /// # Shapes
    /// - x: `[.., width]`
    /// - output: as x
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernels::layer_norm(x, self.weight.val(), self.bias.val(), self.eps)
    }
}
