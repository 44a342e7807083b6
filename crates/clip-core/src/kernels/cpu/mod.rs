//! Fused operations on the CPU, joined to Burn as a backend extension with gradients of their own.

mod attention;
mod exp;
mod lanes;
mod layer_norm;
mod linear;
mod matmul;
mod ops;
mod quick_gelu;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use ops::FusedOps;

/// See [`super::linear`]; x is f32, the weight that or f16.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias))
}

/// See [`super::layer_norm`].
pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_layer_norm(x, weight, bias, eps as f32))
}

/// See [`super::quick_gelu`].
pub(super) fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_quick_gelu(x.into_dispatch()))
}

/// See [`super::attention`].
pub(super) fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_attention(qkv.into_dispatch(), heads, causal))
}
