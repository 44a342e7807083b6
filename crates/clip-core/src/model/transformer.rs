//! A stack of pre-norm residual blocks, shared by both towers.

use burn::module::Module;
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::attention::Attention;
use super::init::{BlockInit, ParamInit};
use super::layer_norm::LayerNorm;
use super::mlp::Mlp;
use super::precision::MatmulPrecision;
use crate::config::{Activation, VitConfig};

/// `x + attn(ln_1(x))`, then `x + mlp(ln_2(x))`.
#[derive(Module, Debug)]
pub struct ResidualAttentionBlock {
    /// Norm before the attention.
    pub ln_1: LayerNorm,
    /// Self-attention.
    pub attn: Attention,
    /// Norm before the MLP.
    pub ln_2: LayerNorm,
    /// Feed-forward half.
    pub mlp: Mlp,
    /// Precision of matrix products; norms, softmax and the residual stream stay in f32.
    #[module(skip)]
    pub precision: MatmulPrecision,
}

impl ResidualAttentionBlock {
    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, length, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.in_precision(self.ln_1.forward(x), |x| self.attn.forward(x));
        x.clone() + self.in_precision(self.ln_2.forward(x), |x| self.mlp.forward(x))
    }

    fn in_precision(&self, x: Tensor<3>, branch: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        match self.precision.half() {
            Some(half) => kernels::to_f32(branch(x.cast(half))),
            None => branch(x),
        }
    }
}

/// Shape of a Transformer.
#[derive(Debug, Clone, Copy)]
pub struct TransformerShape {
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP's hidden layer.
    pub mlp_width: usize,
    /// Non-linearity of the MLPs.
    pub activation: Activation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Whether attention is causal.
    pub causal: bool,
}

impl TransformerShape {
    /// The shape of an image tower's Transformer.
    pub fn of_vit(config: &VitConfig) -> Self {
        Self {
            width: config.width,
            layers: config.layers,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: config.layer_norm_eps,
            causal: false,
        }
    }
}

/// A stack of blocks.
#[derive(Module, Debug)]
pub struct Transformer {
    /// Blocks, first to last.
    pub resblocks: Vec<ResidualAttentionBlock>,
}

impl Transformer {
    /// Fresh parameters.
    pub fn init(shape: TransformerShape, table: BlockInit, init: &mut ParamInit<'_>) -> Self {
        let TransformerShape { width, layers, heads, mlp_width, activation, layer_norm_eps: eps, causal } = shape;
        let block = |init: &mut ParamInit<'_>| ResidualAttentionBlock {
            ln_1: LayerNorm::init(width, eps, init),
            attn: Attention::init(width, heads, causal, table, init),
            ln_2: LayerNorm::init(width, eps, init),
            mlp: Mlp::init(width, mlp_width, activation, table, init),
            precision: MatmulPrecision::F32,
        };
        Self { resblocks: (0..layers).map(|_| block(init)).collect() }
    }

    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, length, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.resblocks.iter().fold(x, |x, block| block.forward(x))
    }
}
