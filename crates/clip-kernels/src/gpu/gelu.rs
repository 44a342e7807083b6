//! The GELUs and their gradients.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::launch::{empty_of, launch_by_values};
use super::wgsl::gelu::GeluShader;
use crate::ops::gelu::{FusedGelu, FusedGeluBackward, Gelu};

impl FusedGelu for Cube {
    fn fused_gelu(x: CubeTensor, gelu: Gelu) -> CubeTensor {
        run(gelu, false, &[&into_contiguous(x)])
    }
}

impl FusedGeluBackward for Cube {
    fn fused_gelu_backward(x: CubeTensor, grad: CubeTensor, gelu: Gelu) -> CubeTensor {
        run(gelu, true, &[&into_contiguous(x), &into_contiguous(grad)])
    }
}

fn run(gelu: Gelu, backward: bool, inputs: &[&CubeTensor]) -> CubeTensor {
    let dtype = inputs[0].dtype;
    let y = empty_of(inputs[0], inputs[0].meta.shape().clone(), dtype);
    launch_by_values(GeluShader { gelu, backward, half: dtype == DType::F16 }, inputs, &[&y], &[]);
    y
}
