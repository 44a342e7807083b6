//! Linear layer and its gradients.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::gemm::{Matrices, product, run};
use super::sum_rows::sum_rows;
use super::wgsl::gemm::{Gemm, Layout, Storage};
use crate::ops::linear::{FusedLinear, FusedLinearBackward, FusedLinearInt8};

impl FusedLinear for Cube {
    fn fused_linear(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let storage = Storage::of(&x);
        product(Matrices::new(x), Matrices::new(weight), Some(into_contiguous(bias)), storage)
    }
}

impl FusedLinearInt8 for Cube {
    fn fused_linear_int8(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let (x, bias) = (into_contiguous(x), into_contiguous(bias));
        let (m, n, k) = (x.meta.shape()[0], weight.meta.shape()[0], weight.meta.shape()[1]);
        let Some(scales) = weight.scales() else { unreachable!("a quantized tensor has scales") };
        let storage = [Storage::F32, Storage::Int8, Storage::F32];
        let gemm = Gemm { a: Layout::KContiguous, b: Layout::KContiguous, storage, bias: true };
        // the weight's stride counts words of four values, which take the place of vec4s
        let dims = [m, n, k, k / 4, weight.meta.strides()[0], 0, 0, scales.meta.strides()[0]];
        run(gemm, &[&x, &weight, &bias, &scales], &dims, 1)
    }
}

impl FusedLinearBackward for Cube {
    fn fused_linear_backward_x(weight: CubeTensor, grad: CubeTensor) -> CubeTensor {
        let storage = Storage::of(&grad);
        product(Matrices::new(grad), Matrices::new(weight).t(), None, storage)
    }

    fn fused_linear_backward_weight(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
        let (x, grad) = (into_contiguous(x), into_contiguous(grad));
        product(Matrices::new(x).t(), Matrices::new(grad), None, Storage::F32)
    }

    fn fused_linear_backward_bias(grad: CubeTensor) -> CubeTensor {
        sum_rows(grad)
    }
}
