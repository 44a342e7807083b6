//! Sum over the rows of a matrix: the gradient of a bias.

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::launch::{empty, launch};
use super::wgsl::sum_rows::{CHUNK, SumRows, WORKGROUP_SIZE};

/// Adds up chunks of rows until one row is left.
///
/// # Shapes
/// - x: `[n, width]`, f32 or f16, width a multiple of 4
/// - output: `[width]`, f32
pub(super) fn sum_rows(x: CubeTensor) -> CubeTensor {
    let mut x = into_contiguous(x);
    let width = x.meta.shape()[1];
    loop {
        let rows = x.meta.shape()[0];
        let chunks = rows.div_ceil(CHUNK);
        let sums = empty(&x, [chunks, width]);
        let workgroups = [(width / 4).div_ceil(WORKGROUP_SIZE as usize), chunks, 1];
        launch(SumRows { half: x.dtype == DType::F16 }, &[&x], &[&sums], &[rows, width], workgroups);
        if chunks == 1 {
            return Cube::float_reshape(sums, [width].into()); // [width]
        }
        x = sums;
    }
}
