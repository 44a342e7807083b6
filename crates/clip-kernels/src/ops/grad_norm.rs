//! Norm of all gradients: their sum of squares, one tensor at a time.
//!
//! The GPU adds into many partial sums, so that one launch a tensor does; the caller adds those up at the end.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Device, Tensor};

use super::{is_cpu, runs_wgsl};
use crate::dtype::to_f32;

/// Partial sums of the GPU's kernel, four an invocation.
const GPU_PARTIAL_SUMS: usize = 65_536;

/// Partial sums to start [`add_sum_of_squares`] from.
pub fn zero_sums_of_squares(device: &Device) -> Tensor<1> {
    Tensor::zeros([if runs_wgsl(device) { GPU_PARTIAL_SUMS } else { 1 }], device)
}

/// Adds the squares of `x` to partial sums; their total is the sum of squares.
///
/// # Shapes
/// - sums, output: as [`zero_sums_of_squares`] returns them
pub fn add_sum_of_squares<const D: usize>(sums: Tensor<1>, x: Tensor<D>) -> Tensor<1> {
    let x = to_f32(x);
    let device = x.device();
    if is_cpu(&device) || runs_wgsl(&device) {
        Tensor::from_dispatch(Dispatch::fused_add_sum_of_squares(sums.into_dispatch(), x.into_dispatch()))
    } else {
        sums + x.square().sum()
    }
}

/// A device's [`add_sum_of_squares`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"))]
pub(crate) trait FusedGradNorm: Backend {
    /// Partial sums, with the squares of x added, in f32.
    fn fused_add_sum_of_squares(sums: FloatTensor<Self>, x: FloatTensor<Self>) -> FloatTensor<Self>;
}
