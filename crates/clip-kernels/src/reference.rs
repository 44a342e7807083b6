//! The towers' operations as Burn composes them: what the fused ones are held against, and what runs where they do not take a shape
//! or a precision.

use burn::tensor::{DType, Tensor, TensorData, activation, module};

use super::int8::{is_quantized, sides};
use super::{AdamWRates, narrow, widen};

/// Burn's product, where a build has it: one that only encodes has no use for the weight of its kernels.
fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if cfg!(feature = "train") { a.matmul(b) } else { super::matmul(a, b) }
}

/// `x W + b`.
///
/// # Shapes
/// - x: `[batch, length, in]`, in the precision that is computed in; weight: `[in, out]`, or quantised; bias: `[out]`
/// - output: `[batch, length, out]`, as x
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, length, width] = x.dims();
    let [_, out] = sides(&weight);
    let weight = if is_quantized(&weight) { widen(weight) } else { weight };
    let x = x.reshape([batch * length, width]); // [n * l, in]
    let half = x.dtype() == DType::F16;
    let y = if half { matmul(x, narrow(weight, true)) } else { matmul(x, widen(weight)) };
    let y = match bias {
        Some(bias) => y + narrow(bias, half).unsqueeze::<2>(),
        None => y,
    };
    y.reshape([batch, length, out])
}

/// Layer normalisation over the last dimension, biased variance.
///
/// # Shapes
/// - x: `[.., width]`; weight, bias: `[width]`
/// - output: as x
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    module::layer_norm(x, weight, Some(bias), eps)
}

/// `x * sigmoid(1.702 x)`: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L166-L168>.
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    activation::sigmoid(x.clone() * 1.702) * x
}

/// `x * Φ(x)`.
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    activation::gelu(x)
}

/// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`: PyTorch's `gelu(approximate="tanh")`.
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    activation::gelu_approximate(x)
}

/// Scaled dot-product attention (arXiv 1706.03762, section 3.2.1) over all heads.
///
/// # Shapes
/// - qkv: `[batch, length, 3 * width]`, query, key and value side by side, each split into `heads`
/// - output: `[batch, length, width]`
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, length, triple] = qkv.dims();
    let (width, head_dim) = (triple / 3, triple / 3 / heads);
    let device = qkv.device();
    let qkv = qkv
        .reshape([batch, length, 3, heads, head_dim]) // [n, l, 3, h, d]
        .permute([2, 0, 3, 1, 4]); // [3, n, h, l, d]
    let part = |i: usize| qkv.clone().narrow(0, i, 1).reshape([batch, heads, length, head_dim]); // [n, h, l, d]
    let scale = (head_dim as f64).powf(-0.5);
    let half = qkv.dtype() == DType::F16;
    let keys = part(1).swap_dims(2, 3);
    // in half precision what is not scaled could overflow
    let scores = if half { widen(matmul(part(0) * scale, keys)) } else { matmul(part(0), keys) * scale }; // [n, h, l, l]
    let scores = if causal {
        let mask: Vec<f32> =
            (0..length * length).map(|i| if i % length > i / length { f32::MIN } else { 0.0 }).collect();
        scores + Tensor::<2>::from_data(TensorData::new(mask, [length, length]), &device).unsqueeze::<4>()
    } else {
        scores
    };
    matmul(narrow(activation::softmax(scores, 3), half), part(2)) // [n, h, l, d]
        .swap_dims(1, 2) // [n, l, h, d]
        .reshape([batch, length, width]) // [n, l, width]
}

/// See [`super::adamw`].
pub fn adamw<const D: usize>([value, gradient, first, second]: [Tensor<D>; 4], rates: AdamWRates) -> [Tensor<D>; 3] {
    let gradient = gradient * rates.scale;
    let first = first * rates.beta_1 + gradient.clone() * rates.new_1;
    let second = second * rates.beta_2 + gradient.square() * rates.new_2;
    let denominator = second.clone().sqrt() / rates.correction + rates.epsilon;
    [value * rates.kept - first.clone() * rates.rate / denominator, first, second]
}
