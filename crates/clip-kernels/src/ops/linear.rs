//! Linear layer: `x W + b`.

use burn::backend::tensor::{FloatTensor, QuantizedTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Device, Tensor};

use super::{MAX_ROWS, is_cpu, on_cpu, on_wgpu, reference_matmul, vec4_aligned};
use crate::cpu::OWN_GEMM;
use crate::dtype::{half_of, is_quantized, to_f32, to_half, weight_dims};

/// Linear layer: `x W + b`.
///
/// # Shapes
/// - x: `[batch, length, in]`, f32, f16 or bf16; weight: `[in, out]`, or quantized; bias: `[out]`
/// - output: `[batch, length, out]`, in the precision of x
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    if has_kernel(&x, &weight) { fused(x, weight, bias) } else { reference(x, weight, bias) }
}

fn has_kernel(x: &Tensor<3>, weight: &Tensor<2>) -> bool {
    let ([batch, length, width], [_, out]) = (x.dims(), weight_dims(weight));
    if is_quantized(weight) {
        x.dtype() == DType::F32 && (on_cpu(x) || on_wgpu(x) && vec4_aligned(&[out]) && batch * length < MAX_ROWS)
    } else if on_cpu(x) {
        x.dtype() == DType::F32
    } else {
        on_wgpu(x) && vec4_aligned(&[width, out]) && batch * length < MAX_ROWS
    }
}

fn fused(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let ([batch, length, width], [_, out]) = (x.dims(), weight_dims(&weight));
    // a half-precision bias comes only with frozen weights: the cast needs no gradient
    let bias = to_f32(bias.unwrap_or_else(|| Tensor::zeros([out], &x.device())));
    let product = if is_quantized(&weight) { fused_int8_rows } else { fused_rows };
    product(x.reshape([batch * length, width]), weight, bias).reshape([batch, length, out])
}

/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`; bias: `[out]`
/// - output: `[n, out]`
fn fused_rows(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias))
}

/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`, quantized; bias: `[out]`
/// - output: `[n, out]`
fn fused_int8_rows(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear_int8(x, weight, bias))
}

/// [`linear`] composed of Burn's operations.
#[inline(never)] // inlined into its one caller, it makes an encoding module larger
pub(crate) fn reference(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, length, width] = x.dims();
    let [_, out] = weight_dims(&weight);
    let weight = if is_quantized(&weight) { to_f32(weight) } else { weight };
    let x = x.reshape([batch * length, width]); // [n * l, in]
    let half = half_of(&x);
    let y = reference_matmul(x, if half.is_some() { to_half(half, weight) } else { to_f32(weight) }); // [n * l, out]
    let y = match bias {
        Some(bias) => y + to_half(half, bias).unsqueeze::<2>(),
        None => y,
    };
    y.reshape([batch, length, out])
}

/// Whether [`linear`] is fastest if K is contiguous in its weights: `[out, in]` in memory, as in checkpoints. A transposition at
/// each call would cost more than it gains for a single input.
pub fn wants_k_contiguous(device: &Device) -> bool {
    OWN_GEMM && is_cpu(device) && !device.is_autodiff()
}

/// The same weight in the memory layout that [`linear`] is fastest with on its device.
///
/// # Shapes
/// - weight, output: `[.., in, out]`
pub fn to_weight_layout<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    if !wants_k_contiguous(&weight.device()) {
        return weight;
    }
    let transposed = weight.transpose(); // [.., out, in]
    let dims = transposed.dims();
    // a reshape to one dimension makes it contiguous
    transposed.reshape([dims.iter().product::<usize>()]).reshape(dims).transpose() // [.., in, out]
}

/// A backend's [`linear`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(crate) trait FusedLinear: Backend {
    /// `x W + b` of `[n, in]`, `[in, out]` and `[out]`; x and the weight are f32 or f16, on the CPU x is f32.
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// A backend's [`linear`] for quantized weights, which are never trained.
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"))]
pub(crate) trait FusedLinearInt8: Backend {
    /// `x Wᵀ + b` of `[n, in]`, `[out, in]` and `[out]`.
    fn fused_linear_int8(
        x: FloatTensor<Self>,
        weight: QuantizedTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// A device's gradients of [`FusedLinear`].
pub(crate) trait FusedLinearBackward: FusedLinear {
    /// Gradient of x, `grad Wᵀ`: `[n, in]` from `[in, out]` and `[n, out]`.
    fn fused_linear_backward_x(weight: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the weight, `xᵀ grad`: `[in, out]` from `[n, in]` and `[n, out]`.
    fn fused_linear_backward_weight(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the bias, the sum over the rows: `[out]` from `[n, out]`.
    fn fused_linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "train")]
mod backward {
    use super::super::autodiff::*;
    use super::{FusedLinear, FusedLinearBackward};

    #[derive(Debug)]
    struct Linear;

    impl<B: FusedLinearBackward> Backward<B, 3> for Linear {
        /// x and the weight, each if the other's gradient needs it.
        type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, weight) = ops.state;
            let [x_node, weight_node, bias_node] = ops.parents;
            if let (Some(node), Some(weight)) = (x_node, weight) {
                grads.register::<B>(node.id, B::fused_linear_backward_x(weight, grad.clone()));
            }
            if let (Some(node), Some(x)) = (weight_node, x) {
                grads.register::<B>(node.id, B::fused_linear_backward_weight(x, grad.clone()));
            }
            if let Some(node) = bias_node {
                grads.register::<B>(node.id, B::fused_linear_backward_bias(grad));
            }
        }
    }

    impl<B: FusedLinearBackward, C: CheckpointStrategy> FusedLinear for Autodiff<B, C> {
        fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
            let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
            let nodes = [x.node(), weight.node(), bias.node()];
            let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
            match Linear.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let state = (weight_tracked.then(|| x.clone()), x_tracked.then(|| weight.clone()));
                    prep.finish(state, B::fused_linear(x, weight, bias))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::fused_linear(x, weight, bias)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{FloatDType, TensorData};

    use super::*;
    use crate::conformance::{CPU_TOLERANCE, assert_close, assert_conforms, input, linear_cases, values};
    use crate::dtype::quantize;

    const SHAPES: [[usize; 3]; 7] =
        [[1, 1, 1], [1, 5, 3], [2, 3, 4], [3, 4, 7], [2, 64, 8], [17, 33, 12], [50, 30, 21]];

    #[test]
    fn the_kernel_equals_the_reference() {
        assert_conforms(linear_cases(&SHAPES, fused));
    }

    #[test]
    fn the_kernel_takes_weights_in_half_precision_and_slices() {
        let device = Device::flex();
        for [n, width, out] in SHAPES {
            let (x, weight) = (input([1, n, width], 6, &device), input([width, 3 * out], 7, &device));
            for weight in [weight.clone(), weight.cast(FloatDType::F16)] {
                let stored = weight.clone().transpose();
                let slices =
                    [weight.slice([0..width, out..2 * out]), stored.slice([out..2 * out, 0..width]).transpose()];
                for slice in slices {
                    let got = values(fused(x.clone(), slice.clone(), None));
                    let expected = values(reference(x.clone(), slice, None));
                    assert_close(&format!("{n} {width} {out}"), &got, &expected, CPU_TOLERANCE);
                }
            }
        }
    }

    #[test]
    fn the_kernel_takes_any_strides() {
        let device = Device::flex();
        let (x, weight) = (input([12, 3, 10], 6, &device), input([12, 5], 7, &device));
        for x in [x.clone().permute([1, 2, 0]), x.clone().permute([2, 1, 0]), x.flip([0]).permute([2, 1, 0])] {
            let expected = values(reference(x.clone(), weight.clone(), None));
            assert_close("x", &values(fused(x.clone(), weight.clone(), None)), &expected, CPU_TOLERANCE);
            let (batch, length) = (x.dims()[0], x.dims()[1]);
            let zeros = Tensor::zeros([5], &device);
            let product = fused_rows(x.reshape([batch * length, 12]), weight.clone().flip([1]), zeros);
            assert_close("weight", &values(product.flip([1])), &expected, CPU_TOLERANCE);
        }
    }

    #[test]
    fn a_quantized_weight_gives_what_its_dequantized_values_give() {
        let device = Device::flex();
        for [n, width, out] in [[1, 8, 1], [2, 16, 3], [5, 40, 4], [17, 320, 9], [50, 512, 21], [300, 24, 6]] {
            let (x, bias) = (input([1, n, width], 6, &device), input([out], 8, &device));
            let weight = quantize(&values(input([out, width], 7, &device)), width).unwrap();
            let weight = Tensor::from_data(weight, &device);
            let expected = values(reference(x.clone(), weight.clone(), Some(bias.clone())));
            // activations have 12 to 16 bits
            assert_close(&format!("{n} {width} {out}"), &values(linear(x, weight, Some(bias))), &expected, 5e-5);
        }
    }

    #[test]
    fn a_quantized_weight_propagates_non_finite_inputs() {
        let weight = Tensor::from_data(quantize(&[0.5; 32], 16).unwrap(), &Device::flex());
        let mut x = vec![1.0; 48];
        x[20] = f32::NAN;
        x[40] = f32::INFINITY;
        let y = values(linear(Tensor::from_data(TensorData::new(x, [1, 3, 16]), &Device::flex()), weight, None));
        assert!((y[0] - 8.0).abs() < 1e-3 && y[2..].iter().all(|x| !x.is_finite()), "{y:?}");
    }
}
