//! Sum of squares, for the norm of the gradients: one launch a tensor.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::launch::launch;
use super::wgsl::grad_norm::{AddSumOfSquares, WORKGROUP_SIZE};
use crate::ops::grad_norm::FusedGradNorm;

impl FusedGradNorm for Cube {
    fn fused_add_sum_of_squares(sums: CubeTensor, x: CubeTensor) -> CubeTensor {
        let sums = if sums.can_mut() { sums } else { sums.copy() };
        let x = into_contiguous(x);
        let values = x.meta.shape().num_elements();
        let vec4 = values.is_multiple_of(4);
        let count = if vec4 { values / 4 } else { values };
        let max_workgroups = sums.meta.shape().num_elements() / 4 / WORKGROUP_SIZE;
        let workgroups = count.div_ceil(WORKGROUP_SIZE).min(max_workgroups);
        let dims = [count, workgroups * WORKGROUP_SIZE];
        launch(AddSumOfSquares { vec4 }, &[&x], &[&sums], &dims, [workgroups, 1, 1]);
        sums
    }
}
