//! The fused operations, joined to Burn as a backend extension: what a device computes is in [`super::cpu`] and `super::gpu`,
//! and how autodiff goes back through them in `super::autodiff`.

use burn::backend::tensor::{FloatTensor, QuantizedTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// See [`super::linear`]; x and the weight are f32 or f16, on the CPU x is f32.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias))
}

/// See [`super::matmul`]; on a GPU k and n are multiples of four.
///
/// # Shapes
/// - a: `[batch, m, k]`; b: `[batch, k, n]`; the batch of either may be 1
/// - output: `[batch, m, n]`
pub(super) fn matmul(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_matmul(a.into_dispatch(), b.into_dispatch()))
}

/// See [`super::linear`], of a weight as [`super::int8`] keeps it, and nothing tracked.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn linear_int8(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear_int8(x, weight, bias))
}

/// See [`super::layer_norm`].
pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_layer_norm(x, weight, bias, eps as f32))
}

/// See [`super::gelu`] and its like.
pub(super) fn gelu(x: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_gelu(x.into_dispatch(), gelu))
}

/// Which GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gelu {
    /// `x σ(1.702 x)`
    Quick,
    /// `x Φ(x)`
    Erf,
    /// Its approximation by tanh.
    Tanh,
}

impl Gelu {
    /// Of [`Self::Quick`].
    pub(super) const QUICK: f32 = 1.702;
    /// 2 √(2/π), of [`Self::Tanh`].
    pub(super) const TANH: f32 = 1.595_769;
    /// Of [`Self::Tanh`].
    pub(super) const CUBIC: f32 = 0.044_715;
    /// The error function by Abramowitz and Stegun, 7.1.26.
    pub(super) const ERF_T: f32 = 0.327_591_1;
    /// Its polynomial, lowest power first.
    pub(super) const ERF: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    /// 1 / √(2π), the normal density's.
    pub(super) const DENSITY: f32 = 0.398_942_3;
}

/// See [`super::attention`].
pub(super) fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_attention(qkv.into_dispatch(), heads, causal))
}

/// See [`super::adamw`].
pub(super) fn adamw<const D: usize>(
    [value, gradient, first, second]: [Tensor<D>; 4],
    rates: AdamWRates,
) -> [Tensor<D>; 3] {
    let (value, gradient) = (value.into_dispatch(), gradient.into_dispatch());
    let (value, first, second) =
        Dispatch::fused_adamw(value, gradient, first.into_dispatch(), second.into_dispatch(), rates);
    [value, first, second].map(Tensor::from_dispatch)
}

/// See [`super::add_squares`], of f32.
pub(super) fn add_squares<const D: usize>(sums: Tensor<1>, x: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::fused_add_squares(sums.into_dispatch(), x.into_dispatch()))
}

/// What a step of AdamW multiplies by.
#[derive(Debug, Clone, Copy)]
pub struct AdamWRates {
    /// What the gradient is multiplied by before anything else.
    pub scale: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// One less it: what the gradient adds.
    pub new_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// One less it.
    pub new_2: f32,
    /// Learning rate over the first moment's correction.
    pub rate: f32,
    /// Root of the second moment's correction, which divides.
    pub correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// What weight decay leaves of the value.
    pub kept: f32,
}

/// Fused operations; each `*_backward` takes the inputs again and the gradient of the output.
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(super) trait FusedOps: Backend {
    /// `x W + b` of `[n, in]`, `[in, out]` and `[out]`.
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The same of integers, `[out, in]`.
    fn fused_linear_int8(
        x: FloatTensor<Self>,
        weight: QuantizedTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// Products of `[batch, m, k]` and `[batch, k, n]`.
    fn fused_matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_linear_backward_x(weight: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the weight.
    fn fused_linear_backward_weight(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the bias.
    fn fused_linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// A GELU.
    fn fused_gelu(x: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_gelu_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
    /// Layer norm over the last dimension.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
    /// Gradients of x, weight and bias.
    fn fused_layer_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// Attention of `[batch, length, 3 * width]`.
    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self>;
    /// Gradient of qkv.
    fn fused_attention_backward(
        qkv: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        heads: usize,
        causal: bool,
    ) -> FloatTensor<Self>;
    /// Value and both moments after a step, from value, gradient and both moments.
    fn fused_adamw(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rates: AdamWRates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// Sums with the squares of x added, some to each.
    fn fused_add_squares(sums: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}
