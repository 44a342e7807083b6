//! The operations that the towers spend their time in.
//!
//! [`reference`] composes each from Burn's own operations, on every device. Where the CPU is the device, [`cpu`] does the same in
//! one pass over memory, forward and backward; the tests below hold the two against each other over odd shapes.

mod cpu;
pub mod reference;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, FloatDType, Tensor};

pub use reference::{linear, widen};

/// Layer normalisation over the last dimension, biased variance.
///
/// # Shapes
/// - x: `[.., width]`; weight, bias: `[width]`
/// - output: as x
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    if on_cpu(&x) { cpu::layer_norm(x, weight, bias, eps) } else { reference::layer_norm(x, weight, bias, eps) }
}

/// `x * sigmoid(1.702 x)`: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L166-L168>.
///
/// # Shapes
/// - x, output: `[batch, length, width]`
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    in_full(x, |x| if on_cpu(&x) { cpu::quick_gelu(x) } else { reference::quick_gelu(x) })
}

/// See [`reference::gelu`].
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    in_full(x, reference::gelu)
}

/// See [`reference::gelu_tanh`].
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    in_full(x, reference::gelu_tanh)
}

/// Scaled dot-product attention (arXiv 1706.03762, section 3.2.1) over all heads.
///
/// # Shapes
/// - qkv: `[batch, length, 3 * width]`, query, key and value side by side, each split into `heads`
/// - output: `[batch, length, width]`
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    if on_cpu(&qkv) {
        in_full(qkv, |qkv| cpu::attention(qkv, heads, causal))
    } else {
        reference::attention(qkv, heads, causal)
    }
}

/// As it is to be multiplied: in half precision where that is asked for.
pub fn narrow<const D: usize>(x: Tensor<D>, half: bool) -> Tensor<D> {
    if half { x.cast(FloatDType::F16) } else { x }
}

/// What would overflow or round away too much in half precision, done in full.
fn in_full<const D: usize>(x: Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    let half = x.dtype() == DType::F16;
    narrow(f(if half { widen(x) } else { x }), half)
}

fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Deterministic values between -3 and 3, tracked.
    fn input<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-3.0..3.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_to_vec().unwrap()
    }

    /// Relative to the largest value: float32 sums in another order.
    fn assert_close(got: Vec<f32>, expected: Vec<f32>, what: &str) {
        let largest = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        for (a, b) in got.iter().zip(&expected) {
            assert!((a - b).abs() <= 2e-6 * largest * 8.0, "{what}: {a} {b}");
        }
        assert_eq!(got.len(), expected.len(), "{what}");
    }

    /// The same output and the same gradients, for a loss that weighs every output differently.
    fn same<const D: usize, const N: usize>(
        inputs: [Tensor<D>; N],
        ours: impl Fn(&[Tensor<D>; N]) -> Tensor<3>,
        reference: impl Fn(&[Tensor<D>; N]) -> Tensor<3>,
        what: &str,
    ) {
        let run = |f: &dyn Fn(&[Tensor<D>; N]) -> Tensor<3>| {
            let y = f(&inputs);
            let weights = input(y.dims(), 99).inner();
            let grads = (y.clone() * Tensor::from_inner(weights)).sum().backward();
            (values(y.inner()), inputs.each_ref().map(|x| values(x.grad(&grads).unwrap())))
        };
        let (y, grads) = run(&ours);
        let (expected_y, expected_grads) = run(&reference);
        assert_close(y, expected_y, what);
        for (got, expected) in grads.into_iter().zip(expected_grads) {
            assert_close(got, expected, what);
        }
    }

    #[test]
    fn half_precision_keeps_the_direction() {
        let (x, weight) = (input([7, 96], 1).inner(), input([96, 33], 2).inner() * 0.1);
        let half = values(reference::half_matmul(x.clone(), weight.clone().cast(FloatDType::F16)));
        let whole = values(x.matmul(weight));
        for (a, b) in half.chunks(33).zip(whole.chunks(33)) {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            assert!(dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() > 0.99999);
        }
    }

    #[test]
    fn what_comes_in_half_precision_leaves_so_and_is_the_same_but_for_rounding() {
        let (qkv, weight, bias) = (input([2, 9, 3 * 24], 1), input([72, 33], 2), input([33], 3));
        let halves: [(&str, Tensor<3>, Tensor<3>); 5] = [
            (
                "linear",
                linear(narrow(qkv.clone(), true), weight.clone(), Some(bias.clone())),
                linear(qkv.clone(), weight, Some(bias)),
            ),
            ("attention", attention(narrow(qkv.clone(), true), 3, true), attention(qkv.clone(), 3, true)),
            ("reference", reference::attention(narrow(qkv.clone(), true), 3, true), attention(qkv.clone(), 3, true)),
            ("quick_gelu", quick_gelu(narrow(qkv.clone(), true)), quick_gelu(qkv.clone())),
            ("gelu_tanh", gelu_tanh(narrow(qkv.clone() * 100.0, true)), gelu_tanh(qkv * 100.0)),
        ];
        for (what, half, full) in halves {
            assert_eq!(half.dtype(), DType::F16, "{what}");
            let largest = values(full.clone()).iter().fold(0f32, |m, x| m.max(x.abs()));
            let error = values((widen(half) - full).abs()).into_iter().fold(0f32, f32::max);
            assert!(error < 4e-3 * largest, "{what}: {error} of {largest}");
        }
    }

    #[test]
    fn quick_gelu_is_the_reference() {
        for shape in [[1, 1, 1], [2, 3, 7], [1, 5, 64], [3, 17, 33]] {
            let what = format!("quick_gelu {shape:?}");
            same([input(shape, 1)], |[x]| quick_gelu(x.clone()), |[x]| reference::quick_gelu(x.clone()), &what);
        }
    }

    #[test]
    fn quick_gelu_survives_extremes() {
        let x = Tensor::<3>::from_data([[[-1e30f32, -200.0, 0.0, 200.0, 1e30]]], &Device::flex());
        for (got, expected) in values(quick_gelu(x)).into_iter().zip([0.0, 0.0, 0.0, 200.0, 1e30]) {
            assert!((got - expected).abs() < 1e-7, "{got} {expected}");
        }
    }

    #[test]
    fn layer_norm_is_the_reference() {
        for [batch, length, width] in [[1, 1, 1], [2, 3, 7], [1, 5, 64], [3, 17, 33]] {
            let x = input([batch, length, width], 2);
            let params = [input([width], 3), input([width], 4)];
            let what = format!("layer_norm {:?}", x.dims());
            let eps = 1e-5;
            let ours = |x: Tensor<3>, [w, b]: &[Tensor<1>; 2]| layer_norm(x, w.clone(), b.clone(), eps);
            let plain = |x: Tensor<3>, [w, b]: &[Tensor<1>; 2]| reference::layer_norm(x, w.clone(), b.clone(), eps);
            if width > 1 {
                same([x.clone()], |[x]| ours(x.clone(), &params), |[x]| plain(x.clone(), &params), &what);
            }
            same(params.clone(), |p| ours(x.clone(), p), |p| plain(x.clone(), p), &what);
        }
    }

    #[test]
    fn attention_is_the_reference() {
        for (batch, length, heads, head_dim) in
            [(1, 1, 1, 1), (2, 3, 2, 5), (2, 17, 4, 32), (1, 50, 3, 8), (3, 9, 1, 64)]
        {
            for causal in [false, true] {
                let qkv = input([batch, length, 3 * heads * head_dim], 5);
                let what = format!("attention {batch} {length} {heads} {head_dim} {causal}");
                let plain = |[x]: &[Tensor<3>; 1]| reference::attention(x.clone(), heads, causal);
                same([qkv], |[x]| attention(x.clone(), heads, causal), plain, &what);
            }
        }
    }
}
