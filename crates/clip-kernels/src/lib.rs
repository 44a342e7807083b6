//! The operations that clip-core's towers spend their time in.
//!
//! [`reference`] composes each from Burn's own operations, on every device. `cpu` and `gpu` do the same in one pass, forward
//! and backward, where a device and the shapes let them; the tests below and clip-core's `check_kernels` hold them against each
//! other over odd shapes.

#![cfg_attr(not(feature = "train"), allow(dead_code, reason = "backward passes stand beside the forward ones"))]

#[cfg(feature = "train")]
mod autodiff;
mod cpu;
mod fused;
#[cfg(feature = "webgpu")]
mod gpu;
pub mod int8;
pub mod reference;

use burn::backend::DispatchDevice;
use burn::tensor::ops::PadMode;
use burn::tensor::{DType, Device, FloatDType, Tensor};

pub use fused::AdamWRates;
use fused::Gelu;
#[cfg(feature = "webgpu")]
pub use gpu::{compile_every_size, fit_to};
pub use int8::widen;
use int8::{is_quantized, sides};

/// Whether the CPU multiplies by our kernel: it is written for what Wasm has. Natively Burn's finds AVX.
const OURS: bool = cfg!(target_arch = "wasm32");

/// Rows that the GPU's workgroups can count, eight rows each.
const MOST_ROWS: usize = 8 * 65_535;
/// Sums of squares that the GPU keeps apart, four an invocation.
const SQUARES: usize = 65_536;
/// Widest head that an invocation of the GPU keeps in registers.
const MOST_HEAD: usize = 128;

/// `x W + b`.
///
/// # Shapes
/// - x: `[batch, length, in]`, in the precision that is computed in; weight: `[in, out]`, or quantised; bias: `[out]`
/// - output: `[batch, length, out]`, as x
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let ([batch, length, width], [_, out]) = (x.dims(), sides(&weight));
    let fused = if is_quantized(&weight) {
        x.dtype() == DType::F32 && (on_cpu(&x) || in_fours(&[out]) && batch * length < MOST_ROWS)
    } else if on_cpu(&x) {
        OURS && x.dtype() == DType::F32
    } else {
        in_fours(&[width, out]) && batch * length < MOST_ROWS
    };
    if fused { fused_linear(x, weight, bias) } else { reference::linear(x, weight, bias) }
}

fn fused_linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let ([batch, length, width], [_, out]) = (x.dims(), sides(&weight));
    let bias = widen(bias.unwrap_or_else(|| Tensor::zeros([out], &x.device())));
    // only what nothing learns is kept in half precision
    let product = if is_quantized(&weight) { fused::linear_int8 } else { fused::linear };
    product(x.reshape([batch * length, width]), weight, bias).reshape([batch, length, out])
}

/// Matrix product, whatever the shapes.
///
/// # Shapes
/// - a: `[.., m, k]`; b: `[.., k, n]`; the same dimensions in front, or none but ones on one side
/// - output: `[.., m, n]`
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    // half precision is multiplied only to train, by Burn's kernels; without them a module that encodes is two thirds as large
    #[cfg(feature = "train")]
    if a.dtype() == DType::F16 {
        return a.matmul(b);
    }
    let (in_front, in_front_of_b) = (&a.dims()[..D - 2], &b.dims()[..D - 2]);
    let mut dims = if in_front.iter().all(|&side| side == 1) { b.dims() } else { a.dims() };
    let [m, k, n] = [a.dims()[D - 2], a.dims()[D - 1], b.dims()[D - 1]];
    dims[D - 2..].copy_from_slice(&[m, n]);
    let batches = [in_front, in_front_of_b].map(|sides| sides.iter().product::<usize>());
    // a matrix that lies across stays as it lies
    let (a, b): (Tensor<3>, Tensor<3>) = if D == 2 {
        (a.unsqueeze(), b.unsqueeze())
    } else {
        (a.reshape([batches[0], m, k]), b.reshape([batches[1], k, n]))
    };
    let product = if on_cpu(&a) || in_fours(&[k, n]) {
        fused::matmul(a, b)
    } else {
        let (more_k, more_n) = (k.next_multiple_of(4) - k, n.next_multiple_of(4) - n);
        let zeros = PadMode::Constant(0.0);
        fused::matmul(a.pad((0, more_k, 0, 0), zeros), b.pad((0, more_n, 0, more_k), zeros)).narrow(2, 0, n)
    };
    product.reshape(dims)
}

/// Layer normalisation over the last dimension, biased variance.
///
/// # Shapes
/// - x: `[.., width]`; weight, bias: `[width]`
/// - output: as x
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    if on_cpu(&x) || in_fours(&x.dims()[D - 1..]) {
        fused::layer_norm(x, weight, bias, eps)
    } else {
        reference::layer_norm(x, weight, bias, eps)
    }
}

/// `x * sigmoid(1.702 x)`: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L166-L168>.
///
/// # Shapes
/// - x, output: `[batch, length, width]`
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Quick, reference::quick_gelu)
}

/// See [`reference::gelu`].
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Erf, reference::gelu)
}

/// See [`reference::gelu_tanh`].
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Tanh, reference::gelu_tanh)
}

fn any_gelu(x: Tensor<3>, gelu: Gelu, reference: fn(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
    if on_cpu(&x) {
        in_full(x, |x| fused::gelu(x, gelu))
    } else if in_fours(&[x.shape().num_elements()]) {
        fused::gelu(x, gelu)
    } else {
        in_full(x, reference)
    }
}

/// Scaled dot-product attention (arXiv 1706.03762, section 3.2.1) over all heads.
///
/// # Shapes
/// - qkv: `[batch, length, 3 * width]`, query, key and value side by side, each split into `heads`
/// - output: `[batch, length, width]`
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, _, triple] = qkv.dims();
    let head_dim = triple / 3 / heads;
    let taken = in_fours(&[head_dim]) && head_dim <= MOST_HEAD && batch < MOST_ROWS / 8;
    if on_cpu(&qkv) || taken {
        in_full(qkv, |qkv| fused::attention(qkv, heads, causal))
    } else {
        reference::attention(qkv, heads, causal)
    }
}

/// One step of AdamW (arXiv 1711.05101), in the order of operations of `torch.optim.AdamW`.
///
/// # Shapes
/// - tensors: value, gradient, first and second moment, none of them tracked, of one shape
/// - output: value and both moments after the step
pub fn adamw<const D: usize>(tensors: [Tensor<D>; 4], rates: AdamWRates) -> [Tensor<D>; 3] {
    let taken = on_cpu(&tensors[0]) || in_fours(&[tensors[0].shape().num_elements()]);
    if taken && tensors.iter().all(|tensor| tensor.dtype() == DType::F32) {
        fused::adamw(tensors, rates)
    } else {
        reference::adamw(tensors, rates)
    }
}

/// Sums of squares, of nothing yet, for [`add_squares`].
pub fn no_squares(device: &Device) -> Tensor<1> {
    Tensor::zeros([if is_cpu(device) { 1 } else { SQUARES }], device)
}

/// Adds the squares of `x` to sums whose own sum is what counts.
///
/// # Shapes
/// - sums: as [`no_squares`] gives them
/// - output: as sums
pub fn add_squares<const D: usize>(sums: Tensor<1>, x: Tensor<D>) -> Tensor<1> {
    fused::add_squares(sums, widen(x))
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
    is_cpu(&x.device())
}

fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the GPU can read and write them four at a time.
fn in_fours(sides: &[usize]) -> bool {
    sides.iter().all(|side| side % 4 == 0)
}

/// Whether [`linear`] is fastest with weights whose columns lie in one piece each, `[out, in]` in memory: where one input at a time
/// comes, to transpose them would cost more than is gained.
pub fn multiplies_columns(device: &Device) -> bool {
    OURS && is_cpu(device) && !device.is_autodiff()
}

/// The same weight, lying as [`linear`] wants it.
pub fn laid_out<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    if !multiplies_columns(&weight.device()) {
        return weight;
    }
    let columns = weight.transpose(); // [.., out, in]
    let dims = columns.dims();
    columns.reshape([dims.iter().product::<usize>()]).reshape(dims).transpose()
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
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
    fn products_are_burns_whatever_stands_in_front() {
        let plain = |seed, shape| input::<4>(shape, seed).inner();
        for (front_of_a, front_of_b) in [([1, 1], [1, 1]), ([3, 2], [3, 2]), ([1, 1], [2, 5]), ([4, 1], [1, 1])] {
            for [m, k, n] in [[1, 1, 1], [3, 5, 7], [8, 4, 12]] {
                let a = plain(1, [front_of_a[0], front_of_a[1], m, k]);
                let b = plain(2, [front_of_b[0], front_of_b[1], n, k]).swap_dims(2, 3);
                let (got, expected) = (matmul(a.clone(), b.clone()), a.matmul(b));
                assert_eq!(got.dims(), expected.dims());
                assert_close(values(got), values(expected), &format!("{front_of_a:?} {front_of_b:?} {m} {k} {n}"));
            }
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

    type Activation = fn(Tensor<3>) -> Tensor<3>;

    const GELUS: [(&str, Activation, Activation); 3] = [
        ("quick_gelu", quick_gelu, reference::quick_gelu),
        ("gelu", gelu, reference::gelu),
        ("gelu_tanh", gelu_tanh, reference::gelu_tanh),
    ];

    #[test]
    fn gelus_are_their_references() {
        for shape in [[1, 1, 1], [2, 3, 7], [1, 5, 64], [3, 17, 33]] {
            for (name, ours, reference) in GELUS {
                let what = format!("{name} {shape:?}");
                same([input(shape, 1)], |[x]| ours(x.clone()), |[x]| reference(x.clone()), &what);
            }
        }
    }

    #[test]
    fn gelus_survive_extremes() {
        for (name, gelu, _) in GELUS {
            let x = Tensor::<3>::from_data([[[-1e30f32, -200.0, 0.0, 200.0, 1e30]]], &Device::flex());
            for (got, expected) in values(gelu(x)).into_iter().zip([0.0, 0.0, 0.0, 200.0, 1e30]) {
                assert!((got - expected).abs() < 1e-7, "{name}: {got} {expected}");
            }
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

    const LINEAR: [(usize, usize, usize); 7] =
        [(1, 1, 1), (1, 5, 3), (2, 3, 4), (3, 4, 7), (2, 64, 8), (17, 33, 12), (50, 30, 21)];

    #[test]
    fn linear_is_the_reference() {
        for (n, width, out) in LINEAR {
            let (x, weight, bias) = (input([1, n, width], 6), input([width, out], 7), input([out], 8));
            // as a checkpoint has it, and as the optimiser leaves it
            let stored = Tensor::from_inner(weight.clone().inner().transpose()).require_grad();
            let what = format!("linear {n} {width} {out}");
            let plain =
                |x: &Tensor<3>, w: &Tensor<2>, b: &Tensor<1>| reference::linear(x.clone(), w.clone(), Some(b.clone()));
            let ours =
                |x: &Tensor<3>, w: &Tensor<2>, b: &Tensor<1>| fused_linear(x.clone(), w.clone(), Some(b.clone()));
            same([x.clone()], |[x]| ours(x, &weight, &bias), |[x]| plain(x, &weight, &bias), &what);
            same([weight.clone()], |[w]| ours(&x, w, &bias), |[w]| plain(&x, w, &bias), &what);
            same([bias.clone()], |[b]| ours(&x, &weight, b), |[b]| plain(&x, &weight, b), &what);
            let ours = |x: &Tensor<3>, w: &Tensor<2>| fused_linear(x.clone(), w.clone().transpose(), None);
            let plain = |x: &Tensor<3>, w: &Tensor<2>| reference::linear(x.clone(), w.clone().transpose(), None);
            same([x.clone()], |[x]| ours(x, &stored), |[x]| plain(x, &stored), &what);
            same([stored.clone()], |[w]| ours(&x, w), |[w]| plain(&x, w), &what);
        }
    }

    #[test]
    fn linear_takes_weights_in_half_precision_and_parts_of_others() {
        for (n, width, out) in LINEAR {
            let (x, weight) = (input([1, n, width], 6).inner(), input([width, 3 * out], 7).inner());
            for weight in [weight.clone(), weight.clone().cast(FloatDType::F16)] {
                let stored = weight.clone().transpose();
                let parts =
                    [weight.slice([0..width, out..2 * out]), stored.slice([out..2 * out, 0..width]).transpose()];
                for part in parts {
                    let got = values(fused_linear(x.clone(), part.clone(), None));
                    assert_close(got, values(reference::linear(x.clone(), part, None)), &format!("{n} {width} {out}"));
                }
            }
        }
    }

    #[test]
    fn linear_of_integers_is_the_reference_of_what_they_stand_for() {
        for (n, width, out) in [(1, 8, 1), (2, 16, 3), (5, 40, 4), (17, 320, 9), (50, 512, 21), (300, 24, 6)] {
            let (x, bias) = (input([1, n, width], 6).inner(), input([out], 8).inner());
            let weight = values(input([out, width], 7).inner());
            let weight = Tensor::from_data(int8::quantized(&weight, width).unwrap(), &Device::flex());
            let expected = values(reference::linear(x.clone(), weight.clone(), Some(bias.clone())));
            // 16 bits a value of x
            let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
            let got = values(linear(x, weight, Some(bias)));
            assert_eq!(got.len(), expected.len());
            for (a, b) in got.iter().zip(&expected) {
                assert!((a - b).abs() <= 5e-5 * largest, "{n} {width} {out}: {a} {b}");
            }
        }
    }

    #[test]
    fn linear_of_integers_passes_on_what_is_no_number() {
        let weight = Tensor::from_data(int8::quantized(&[0.5; 32], 16).unwrap(), &Device::flex());
        let mut x = vec![1.0; 48];
        x[20] = f32::NAN;
        x[40] = f32::INFINITY;
        let y = linear(Tensor::from_data(TensorData::new(x, [1, 3, 16]), &Device::flex()), weight, None);
        let y = values(y);
        assert!((y[0] - 8.0).abs() < 1e-3 && y[2..].iter().all(|x| !x.is_finite()), "{y:?}");
    }

    #[test]
    fn linear_takes_its_input_from_anywhere() {
        let (x, weight) = (input([12, 3, 10], 6).inner(), input([12, 5], 7).inner());
        for x in [x.clone().permute([1, 2, 0]), x.clone().permute([2, 1, 0]), x.flip([0]).permute([2, 1, 0])] {
            let expected = values(reference::linear(x.clone(), weight.clone(), None));
            assert_close(values(fused_linear(x.clone(), weight.clone(), None)), expected.clone(), "x");
            let (batch, length) = (x.dims()[0], x.dims()[1]);
            let product = fused::linear(
                x.reshape([batch * length, 12]),
                weight.clone().flip([1]),
                Tensor::zeros([5], &Device::flex()),
            );
            assert_close(values(product.flip([1])), expected, "weight");
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
