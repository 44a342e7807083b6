//! Multi-head self-attention with fused query, key and value projection (arXiv 1706.03762, section 3.2).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, activation::softmax};
use clip_kernels as kernels;

use super::init::{BlockInit, ParamInit};

/// Self-attention. `in_proj_*` hold query, key and value side by side, in this order.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * width]`
    pub in_proj_weight: Param<Tensor<2>>,
    /// `[3 * width]`
    pub in_proj_bias: Param<Tensor<1>>,
    /// `[width, width]` and `[width]`
    pub out_proj: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Whether a position attends only to itself and earlier ones.
    pub causal: bool,
}

impl Attention {
    /// Fresh parameters for a residual stream of `width`.
    pub fn init(width: usize, heads: usize, causal: bool, table: BlockInit, init: &mut ParamInit<'_>) -> Self {
        let d = width as f64;
        let (in_proj_weight, out_weight) = match table {
            // xavier_uniform over [3 width, width], then the default of nn.Linear
            BlockInit::PyTorch => {
                (init.uniform([width, 3 * width], (6.0 / (4.0 * d)).sqrt()), init.uniform([width, width], d.powf(-0.5)))
            }
            BlockInit::Text { layers } => (
                init.normal([width, 3 * width], d.powf(-0.5)),
                init.normal([width, width], d.powf(-0.5) * (2.0 * layers as f64).powf(-0.5)),
            ),
        };
        Self {
            in_proj_weight,
            in_proj_bias: init.constant([3 * width], 0.0),
            out_proj: Linear { weight: out_weight, bias: Some(init.constant([width], 0.0)) },
            heads,
            causal,
        }
    }

    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, length, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let qkv = kernels::linear(x, self.in_proj_weight.val(), Some(self.in_proj_bias.val()));
        let mixed = kernels::attention(qkv, self.heads, self.causal);
        kernels::linear(mixed, self.out_proj.weight.val(), self.out_proj.bias.as_ref().map(Param::val))
    }
}

/// Attention of a few queries over many keys, for pooling.
///
/// # Shapes
/// - query: `[batch, queries, width]`; keys_values: `[batch, length, 2 * width]`, side by side
/// - output: `[batch, queries, width]`
pub(super) fn attend(query: Tensor<3>, keys_values: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let [_, length, _] = keys_values.dims();
    let head_dim = width / heads;
    let query = query.reshape([batch, queries, heads, head_dim]).swap_dims(1, 2); // [n, h, q, d]
    let keys_values = keys_values.reshape([batch, length, 2, heads, head_dim]).permute([2, 0, 3, 1, 4]); // [2, n, h, l, d]
    let part = |i: usize| keys_values.clone().narrow(0, i, 1).reshape([batch, heads, length, head_dim]); // [n, h, l, d]
    let scores = kernels::matmul(query, part(0).swap_dims(2, 3)) * (head_dim as f64).powf(-0.5); // [n, h, q, l]
    kernels::matmul(softmax(scores, 3), part(1)).swap_dims(1, 2).reshape([batch, queries, width]) // [n, q, w]
}
