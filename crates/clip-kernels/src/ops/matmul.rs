//! Matrix product of batches.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

#[cfg(any(feature = "train", feature = "cuda"))]
use super::on_wgpu;
use super::{on_cpu, vec4_aligned};
#[cfg(any(feature = "train", feature = "cuda"))]
use crate::dtype::half_of;

/// Matrix product of any shapes; Burn's is its reference.
///
/// # Shapes
/// - a: `[.., m, k]`; b: `[.., k, n]`; the batch dimensions are equal, or all 1 on one side
/// - output: `[.., m, n]`
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    // products in half precision occur only in training: without Burn's kernels a module that encodes is two thirds as large
    #[cfg(any(feature = "train", feature = "cuda"))]
    if half_of(&a).is_some() || !on_cpu(&a) && !on_wgpu(&a) {
        return a.matmul(b);
    }
    let (a_batch, b_batch) = (&a.dims()[..D - 2], &b.dims()[..D - 2]);
    let mut dims = if a_batch.iter().all(|&dim| dim == 1) { b.dims() } else { a.dims() };
    let [m, k, n] = [a.dims()[D - 2], a.dims()[D - 1], b.dims()[D - 1]];
    dims[D - 2..].copy_from_slice(&[m, n]);
    let batches = [a_batch, b_batch].map(|dims| dims.iter().product::<usize>());
    // a reshape would make a transposed matrix contiguous, unsqueeze keeps its strides
    let (a, b): (Tensor<3>, Tensor<3>) = if D == 2 {
        (a.unsqueeze(), b.unsqueeze())
    } else {
        (a.reshape([batches[0], m, k]), b.reshape([batches[1], k, n]))
    };
    let product = if on_cpu(&a) || vec4_aligned(&[k, n]) {
        fused(a, b)
    } else {
        let (k_padding, n_padding) = (k.next_multiple_of(4) - k, n.next_multiple_of(4) - n);
        let zeros = PadMode::Constant(0.0);
        fused(a.pad((0, k_padding, 0, 0), zeros), b.pad((0, n_padding, 0, k_padding), zeros)).narrow(2, 0, n)
    };
    product.reshape(dims) // [.., m, n]
}

fn fused(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_matmul(a.into_dispatch(), b.into_dispatch()))
}

/// A backend's [`matmul`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(crate) trait FusedMatmul: Backend {
    /// `[batch, m, n]` from `[batch, m, k]` and `[batch, k, n]`; either batch may be 1. On a GPU k and n are multiples of 4.
    fn fused_matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[cfg(feature = "train")]
mod backward {
    use super::super::autodiff::*;
    use super::FusedMatmul;
    use burn::backend::ops::FloatTensorOps;

    /// Training multiplies by Burn's product, which has a gradient.
    impl<B: FusedMatmul, C: CheckpointStrategy> FusedMatmul for Autodiff<B, C> {
        fn fused_matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
            Self::float_matmul(a, b)
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::conformance::{CPU_TOLERANCE, assert_close, input, values};

    #[test]
    fn equals_burns_product_whatever_the_batch_dimensions() {
        for (a_batch, b_batch) in [([1, 1], [1, 1]), ([3, 2], [3, 2]), ([1, 1], [2, 5]), ([4, 1], [1, 1])] {
            for [m, k, n] in [[1, 1, 1], [3, 5, 7], [8, 4, 12]] {
                let a = input::<4>([a_batch[0], a_batch[1], m, k], 1, &Device::flex());
                let b = input::<4>([b_batch[0], b_batch[1], n, k], 2, &Device::flex()).swap_dims(2, 3);
                let (got, expected) = (matmul(a.clone(), b.clone()), a.matmul(b));
                assert_eq!(got.dims(), expected.dims());
                let name = format!("{a_batch:?} {b_batch:?} {m} {k} {n}");
                assert_close(&name, &values(got), &values(expected), CPU_TOLERANCE);
            }
        }
    }
}
