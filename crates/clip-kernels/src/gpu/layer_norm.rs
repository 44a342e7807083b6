//! Layer norm and its gradients.

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::device::is_software;
use super::launch::{empty, fold_workgroups, launch};
use super::sum_rows::sum_rows;
use super::wgsl::layer_norm::{CHUNK, LayerNorm, ParameterGradients, ROWS_PER_WORKGROUP, VEC4S_PER_WORKGROUP};
use crate::ops::layer_norm::{FusedLayerNorm, FusedLayerNormBackward};

impl FusedLayerNorm for Cube {
    fn fused_layer_norm(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, eps: f32) -> CubeTensor {
        let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
        let y = empty(&x, x.meta.shape().clone());
        launch_rows(false, [&x, &weight, &bias], &[&y], eps);
        y
    }
}

impl FusedLayerNormBackward for Cube {
    fn fused_layer_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        grad: CubeTensor,
        eps: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [x, weight, grad] = [x, weight, grad].map(into_contiguous);
        let (rows, width) = rows_and_width(&x);
        let (dx, statistics) = (empty(&x, x.meta.shape().clone()), empty(&x, [rows, 2]));
        launch_rows(true, [&x, &weight, &grad], &[&dx, &statistics], eps);
        let chunks = rows.div_ceil(CHUNK);
        let sums = empty(&x, [chunks, 2 * width]);
        let workgroups = [(width / 4).div_ceil(VEC4S_PER_WORKGROUP as usize), chunks, 1];
        launch(ParameterGradients, &[&x, &grad, &statistics], &[&sums], &[rows, width], workgroups);
        let sums = sum_rows(sums); // [2 width]
        let half = |begin: usize| Self::float_slice(sums.clone(), &[(begin..begin + width).into()]);
        (dx, half(0), half(width))
    }
}

fn launch_rows(backward: bool, inputs: [&CubeTensor; 3], outputs: &[&CubeTensor], eps: f32) {
    let (rows, width) = rows_and_width(inputs[0]);
    let shader = LayerNorm { backward, shared: !is_software(inputs[0]) };
    let workgroups = if shader.shared { rows } else { rows.div_ceil(ROWS_PER_WORKGROUP as usize) };
    launch(shader, &inputs, outputs, &[rows, width, eps.to_bits() as usize], fold_workgroups(workgroups));
}

/// Number and width of the rows.
fn rows_and_width(x: &CubeTensor) -> (usize, usize) {
    let shape = x.meta.shape();
    let width = shape[shape.num_dims() - 1];
    (shape.num_elements() / width, width)
}
