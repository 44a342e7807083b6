//! Products of tensors: views of matrices, how threads share a product, and the operation [`crate::ops::matmul`].

use std::borrow::Cow;
use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Flex, TensorMetadata};

#[cfg(not(target_arch = "wasm32"))]
use super::gemm::native;
use super::gemm::{AnyRows, Rows, gemm_nt, transpose};
use super::parallel::{split_columns, split_mut};
use super::{OWN_GEMM, tensor_from};
use crate::ops::matmul::FusedMatmul;

impl FusedMatmul for Flex {
    fn fused_matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        if OWN_GEMM { matmul(a, b) } else { Self::float_matmul(a, b) }
    }
}

/// # Shapes
/// - a: `[batch, m, k]`; b: `[batch, k, n]`; either batch may be 1
/// - output: `[batch, m, n]`
fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let [m, n] = [a.shape()[1], b.shape()[2]];
    let batch = a.shape()[0].max(b.shape()[0]);
    let (a, b) = (one_unit_stride(a), one_unit_stride(b));
    let of = |tensor, i| Matrix::<f32>::in_batch(tensor, if tensor.shape()[0] == 1 { 0 } else { i });
    let products = (0..batch).flat_map(|i| product(of(&a, i), of(&b, i).t(), None));
    tensor_from(products.collect(), [batch, m, n])
}

/// A matrix whose rows or columns are contiguous.
pub(super) struct Matrix<'a, T: Clone> {
    pub(super) values: Cow<'a, [T]>,
    pub(super) dims: [usize; 2],
    pub(super) strides: [usize; 2],
}

impl<'a, T: Clone> Matrix<'a, T> {
    /// The last two dimensions of a tensor with [`one_unit_stride`].
    pub(super) fn new(tensor: &FlexTensor, storage: &'a [T]) -> Self {
        let (shape, layout) = (tensor.shape(), tensor.layout());
        let first = shape.num_dims() - 2;
        let strides = [first, first + 1].map(|dim| layout.strides()[dim].unsigned_abs());
        let dims = [shape[first], shape[first + 1]];
        Self { values: Cow::Borrowed(&storage[layout.start_offset()..]), dims, strides }
    }

    /// The transpose, without a copy.
    pub(super) fn t(self) -> Self {
        let ([rows, columns], [row, column]) = (self.dims, self.strides);
        Self { values: self.values, dims: [columns, rows], strides: [column, row] }
    }

    pub(super) fn has_contiguous_rows(&self) -> bool {
        self.strides[1] == 1
    }

    pub(super) fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.values, self.strides[0], self.dims[0], self.dims[1])
    }
}

impl<'a> Matrix<'a, f32> {
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        Self::new(tensor, tensor.storage())
    }

    /// Matrix `index` of `[batch, rows, columns]`.
    fn in_batch(tensor: &'a FlexTensor, index: usize) -> Self {
        Self::new(tensor, &tensor.storage()[index * tensor.layout().strides()[0].unsigned_abs()..])
    }

    /// The same matrix, copied if its rows are not contiguous.
    pub(super) fn contiguous_rows(self) -> Self {
        if self.has_contiguous_rows() {
            return self;
        }
        let (dims, columns) = (self.dims, self.t());
        let (values, stride) = transpose(columns.rows());
        Self { values: Cow::Owned(values), dims, strides: [stride, 1] }
    }
}

/// The same tensor, copied unless one of its last two dimensions is contiguous, as [`Matrix`] needs.
pub(super) fn one_unit_stride(tensor: FlexTensor) -> FlexTensor {
    let strides = tensor.layout().strides();
    if strides[strides.len() - 2..].contains(&1) && strides.iter().all(|&stride| stride >= 0) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// From this many rows on, threads share out the rows of an f32 product. With fewer, they share out the columns, so that each thread
/// reads only its part of the weights.
const MIN_ROWS_TO_SPLIT: usize = 256;

/// The dimension that threads share out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitBy {
    Rows,
    Columns,
}

/// Computes a `rows` × `columns` result, each value a sum of `len` products, on all threads. `f` takes a range of rows, a range of
/// columns, and the columns of each of these rows to write to.
pub(super) fn share_out(
    split_by: SplitBy,
    [rows, columns, len]: [usize; 3],
    f: impl Fn(Range<usize>, Range<usize>, &mut [&mut [f32]]) + Sync + Send,
) -> Vec<f32> {
    let (work, mut out) = (rows * columns * len, vec![0.0; rows * columns]);
    match split_by {
        SplitBy::Rows => {
            split_mut(work, &mut out, columns, 2, |first, out| {
                let mut parts: Vec<&mut [f32]> = out.chunks_exact_mut(columns).collect();
                f(first..first + parts.len(), 0..columns, &mut parts);
            });
        }
        SplitBy::Columns => split_columns(work, &mut out, columns, 4, |first, parts| {
            let count = parts.first().map_or(0, |part| part.len());
            f(0..rows, first..first + count, parts);
        }),
    }
    out
}

/// `a bᵀ + bias`, row-major.
pub(super) fn product(a: Matrix<'_, f32>, b: Matrix<'_, f32>, bias: Option<&[f32]>) -> Vec<f32> {
    #[cfg(not(target_arch = "wasm32"))]
    if !OWN_GEMM {
        return native::product(&a, &b, bias);
    }
    product_of_rows(&a.contiguous_rows(), AnyRows::F32(b.contiguous_rows().rows()), bias)
}

/// `a bᵀ + bias`, row-major; a has contiguous rows.
pub(super) fn product_of_rows(a: &Matrix<'_, f32>, b: AnyRows<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let [rows, len] = a.dims;
    let a = a.rows();
    let split_by = if rows >= MIN_ROWS_TO_SPLIT { SplitBy::Rows } else { SplitBy::Columns };
    share_out(split_by, [rows, b.count(), len], |rows, columns, out| {
        let (a, b) = (a.slice(rows.start, rows.len()), b.slice(columns.start, columns.len()));
        gemm_nt(a, b, bias.map(|bias| &bias[columns.start..]), out);
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::f16;

    use super::*;
    use crate::conformance::{CPU_TOLERANCE, assert_close};

    fn matrix(dims: [usize; 2], transposed: bool) -> Matrix<'static, f32> {
        let values = (0..dims[0] * dims[1]).map(|i| f16::from_f32((i * 7919 % 2003) as f32 / 500.0 - 2.0).to_f32());
        let strides = if transposed { [1, dims[0]] } else { [dims[1], 1] };
        Matrix { values: values.collect(), dims, strides }
    }

    /// Each value as its definition says.
    fn expected(a: &Matrix<'_, f32>, b: &Matrix<'_, f32>, bias: &[f32]) -> Vec<f32> {
        let at = |x: &Matrix<'_, f32>, i: usize, k: usize| x.values[i * x.strides[0] + k * x.strides[1]];
        let value = |i: usize, j: usize| bias[j] + (0..a.dims[1]).map(|k| at(a, i, k) * at(b, j, k)).sum::<f32>();
        (0..a.dims[0]).flat_map(|i| (0..b.dims[0]).map(move |j| (i, j))).map(|(i, j)| value(i, j)).collect()
    }

    #[test]
    fn products_of_wasm_and_native_builds_are_the_same() {
        for [m, n, k] in [[1, 1, 1], [3, 7, 5], [17, 12, 64], [50, 130, 33], [300, 21, 40], [2, 3, 0]] {
            for (a_transposed, b_transposed) in [(false, false), (true, false), (false, true), (true, true)] {
                let (a, b) = (|| matrix([m, k], a_transposed), || matrix([n, k], b_transposed));
                let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.1).collect();
                let name = format!("{m} {n} {k} {a_transposed} {b_transposed}");
                let expected = expected(&a(), &b(), &bias);
                assert_close(&name, &product(a(), b(), Some(&bias)), &expected, CPU_TOLERANCE);
                let (a, b) = (a().contiguous_rows(), b().contiguous_rows());
                assert_close(
                    &name,
                    &product_of_rows(&a, AnyRows::F32(b.rows()), Some(&bias)),
                    &expected,
                    CPU_TOLERANCE,
                );
                let halves: Vec<f16> = b.values.iter().map(|&x| f16::from_f32(x)).collect();
                let halves = AnyRows::F16(Rows::new(&halves, b.strides[0], n, k));
                assert_close(&name, &product_of_rows(&a, halves, Some(&bias)), &expected, CPU_TOLERANCE);
            }
        }
    }
}
