//! Linear layer and its gradients, each one product. In Wasm it is one of rows: an operand in the other layout is transposed first,
//! little work for the rows of a batch. For a single image the weights have the right layout already, `[out, in]`.

use std::borrow::Cow;

use burn::backend::flex::{FlexQTensor, FlexTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, f16};

use super::gemm::{AnyRows, f16_to_f32};
use super::gemm_int8::{self, Activations, Weights};
use super::matmul::{Matrix, SplitBy, one_unit_stride, product, product_of_rows, share_out};
use super::parallel::sum_of_groups;
use super::{OWN_GEMM, tensor_from, with_values};
use crate::ops::linear::{FusedLinear, FusedLinearBackward, FusedLinearInt8};

impl FusedLinear for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        forward(x, weight, bias)
    }
}

impl FusedLinearInt8 for Flex {
    fn fused_linear_int8(x: FlexTensor, weight: FlexQTensor, bias: FlexTensor) -> FlexTensor {
        forward_int8(x, weight, bias)
    }
}

impl FusedLinearBackward for Flex {
    fn fused_linear_backward_x(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (weight, grad) = (one_unit_stride(weight), one_unit_stride(grad));
        product_tensor(Matrix::of(&grad), Matrix::of(&weight), None)
    }

    fn fused_linear_backward_weight(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let (x, grad) = (one_unit_stride(x), one_unit_stride(grad));
        product_tensor(Matrix::of(&x).t(), Matrix::of(&grad).t(), None)
    }

    fn fused_linear_backward_bias(grad: FlexTensor) -> FlexTensor {
        let columns = grad.shape()[1];
        tensor_from(with_values(&grad, |grad| sum_of_rows(grad, columns)), [columns])
    }
}

/// `a bᵀ + bias`.
fn product_tensor(a: Matrix<'_, f32>, b: Matrix<'_, f32>, bias: Option<&[f32]>) -> FlexTensor {
    let dims = [a.dims[0], b.dims[0]];
    tensor_from(product(a, b, bias), dims)
}

/// Sum of rows of `columns` values.
fn sum_of_rows(values: &[f32], columns: usize) -> Vec<f32> {
    sum_of_groups(values.len(), values.len() / columns.max(1), columns, |rows, sums| {
        add_rows(&values[rows.start * columns..rows.end * columns], sums);
    })
}

#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn add_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`, f32 or f16; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let (x, weight, bias) = (one_unit_stride(x), one_unit_stride(weight), bias.to_contiguous());
    let (x, bias) = (Matrix::of(&x), bias.as_slice());
    if weight.dtype() != DType::F16 {
        return product_tensor(x, Matrix::of(&weight).t(), bias);
    }
    let columns = Matrix::<f16>::new(&weight, weight.storage()).t(); // [out, in]
    if OWN_GEMM && columns.has_contiguous_rows() {
        let dims = [x.dims[0], columns.dims[0]];
        return tensor_from(product_of_rows(&x.contiguous_rows(), AnyRows::F16(columns.rows()), bias), dims);
    }
    let values = Cow::Owned(columns.values.iter().map(|&half| f16_to_f32(half)).collect());
    product_tensor(x, Matrix { values, dims: columns.dims, strides: columns.strides }, bias)
}

/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`, quantized; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward_int8(x: FlexTensor, weight: FlexQTensor, bias: FlexTensor) -> FlexTensor {
    let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
    let [rows, len] = [x.shape()[0], x.shape()[1]];
    let a = Activations::new(&x.storage()[x.layout().start_offset()..][..rows * len], len);
    let columns = weight.shape()[0];
    let b = Weights { values: weight.tensor().storage(), scales: weight.scales(), len };
    let bias = &bias.storage()[bias.layout().start_offset()..];
    // by columns, so that only one thread widens each weight
    let out = share_out(SplitBy::Columns, [rows, columns, len], |rows, columns, out| {
        gemm_int8::gemm_nt((&a, rows), (b, columns), bias, out);
    });
    tensor_from(out, [rows, columns])
}
