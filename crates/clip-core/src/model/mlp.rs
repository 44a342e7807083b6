//! The feed-forward half of a block.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::init::{BlockInit, ParamInit};
use crate::config::Activation;

/// Two linear layers with a GELU between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[width, hidden]` and `[hidden]`
    pub c_fc: Linear,
    /// `[hidden, width]` and `[width]`
    pub c_proj: Linear,
    /// The non-linearity.
    #[module(skip)]
    pub activation: Activation,
}

impl Mlp {
    /// Fresh parameters.
    pub fn init(
        width: usize,
        hidden: usize,
        activation: Activation,
        table: BlockInit,
        init: &mut ParamInit<'_>,
    ) -> Self {
        let (d, h) = (width as f64, hidden as f64);
        let (fc, proj) = match table {
            BlockInit::PyTorch => {
                (init.uniform([width, hidden], d.powf(-0.5)), init.uniform([hidden, width], h.powf(-0.5)))
            }
            BlockInit::Text { layers } => (
                init.normal([width, hidden], (2.0 * d).powf(-0.5)),
                init.normal([hidden, width], d.powf(-0.5) * (2.0 * layers as f64).powf(-0.5)),
            ),
        };
        // the default biases of nn.Linear, which neither initialisation changes
        Self {
            c_fc: Linear { weight: fc, bias: Some(init.uniform([hidden], d.powf(-0.5))) },
            c_proj: Linear { weight: proj, bias: Some(init.uniform([width], h.powf(-0.5))) },
            activation,
        }
    }

    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, length, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = kernels::linear(x, self.c_fc.weight.val(), self.c_fc.bias.as_ref().map(Param::val));
        let hidden = match self.activation {
            Activation::QuickGelu => kernels::quick_gelu(hidden),
            Activation::Gelu => kernels::gelu(hidden),
            Activation::GeluTanh => kernels::gelu_tanh(hidden),
        };
        kernels::linear(hidden, self.c_proj.weight.val(), self.c_proj.bias.as_ref().map(Param::val))
    }
}
