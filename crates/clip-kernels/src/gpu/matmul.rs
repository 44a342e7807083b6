//! Matrix product of batches.

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::CubeTensor;

use super::gemm::{Matrices, product};
use super::wgsl::gemm::Storage;
use crate::ops::matmul::FusedMatmul;

impl FusedMatmul for Cube {
    fn fused_matmul(a: CubeTensor, b: CubeTensor) -> CubeTensor {
        let (a, b) = (Matrices::new(a), Matrices::new(b));
        let (batch, [m, _], [_, n]) = (a.count.max(b.count), a.dims, b.dims);
        Self::float_reshape(product(a, b, None, Storage::F32), [batch, m, n].into()) // [batch, m, n]
    }
}
