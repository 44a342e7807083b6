//! `x W + b` and its gradients, each one product of rows. What lies the other way round is transposed first: for a batch's worth
//! of rows that is little, and for one image the weights lie as their file had them, `[out, in]`.

use std::borrow::Cow;
use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::flex::{FlexQTensor, FlexTensor};
use burn::tensor::{DType, f16};

use super::matmul::{Factor, Rows, matmul_nt, transposed, widen};
use super::matmul_int8::{self, Narrow, Weights};
use super::parallel::{split_columns, split_mut};
use super::tensor;

/// A matrix whose rows or whose columns lie in one piece each.
struct Matrix<'a, T: Clone> {
    values: Cow<'a, [T]>,
    dims: [usize; 2],
    strides: [usize; 2],
}

impl<'a, T: Clone> Matrix<'a, T> {
    /// Of the last two dimensions of a tensor that is [`dense`].
    fn new(tensor: &FlexTensor, storage: &'a [T]) -> Self {
        let (shape, layout) = (tensor.shape(), tensor.layout());
        let first = shape.num_dims() - 2;
        let strides = [first, first + 1].map(|side| layout.strides()[side].unsigned_abs());
        let dims = [shape[first], shape[first + 1]];
        Self { values: Cow::Borrowed(&storage[layout.start_offset()..]), dims, strides }
    }

    /// Rows and columns exchanged; no value moves.
    fn t(self) -> Self {
        let ([rows, columns], [row, column]) = (self.dims, self.strides);
        Self { values: self.values, dims: [columns, rows], strides: [column, row] }
    }

    fn lies_in_rows(&self) -> bool {
        self.strides[1] == 1
    }

    fn rows(&self) -> Rows<'_, T> {
        Rows::new(&self.values, self.strides[0], self.dims[0], self.dims[1])
    }
}

impl<'a> Matrix<'a, f32> {
    fn of(tensor: &'a FlexTensor) -> Self {
        Self::new(tensor, tensor.storage())
    }

    /// One of those in `[batch, rows, columns]`.
    fn in_batch(tensor: &'a FlexTensor, index: usize) -> Self {
        Self::new(tensor, &tensor.storage()[index * tensor.layout().strides()[0].unsigned_abs()..])
    }

    /// The same, with each row in one piece.
    fn in_rows(self) -> Self {
        if self.lies_in_rows() {
            return self;
        }
        let (dims, columns) = (self.dims, self.t());
        let (values, stride) = transposed(columns.rows());
        Self { values: Cow::Owned(values), dims, strides: [stride, 1] }
    }
}

/// A tensor of matrices that [`Matrix`] takes as they lie.
fn dense(tensor: FlexTensor) -> FlexTensor {
    let strides = tensor.layout().strides();
    if strides[strides.len() - 2..].contains(&1) && strides.iter().all(|&stride| stride >= 0) {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// Rows of floats from which on threads share them out; fewer, and each thread takes some columns of all of them, so that it reads
/// no more than its share of the weights.
const MANY_ROWS: usize = 256;

/// What threads share out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shared {
    Rows,
    Columns,
}

/// A result of so many rows and columns, sums of `len` products: `f` takes some rows, some columns, and the part of each row where
/// those go.
fn shared_out(
    shared: Shared,
    [rows, columns, len]: [usize; 3],
    f: impl Fn(Range<usize>, Range<usize>, &mut [&mut [f32]]) + Sync + Send,
) -> Vec<f32> {
    let (work, mut out) = (rows * columns * len, vec![0.0; rows * columns]);
    match shared {
        Shared::Rows => split_mut(work, &mut out, columns, 2, |first, out| {
            let mut parts: Vec<&mut [f32]> = out.chunks_exact_mut(columns).collect();
            f(first..first + parts.len(), 0..columns, &mut parts);
        }),
        Shared::Columns => split_columns(work, &mut out, columns, 4, |first, parts| {
            let count = parts.first().map_or(0, |part| part.len());
            f(0..rows, first..first + count, parts);
        }),
    }
    out
}

/// `a bᵀ + bias`.
fn product(a: &Matrix<'_, f32>, b: Factor<'_>, bias: Option<&[f32]>) -> FlexTensor {
    tensor(values_of_product(a, b, bias), [a.dims[0], b.count()])
}

fn values_of_product(a: &Matrix<'_, f32>, b: Factor<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let [rows, len] = a.dims;
    let a = a.rows();
    let shared = if rows >= MANY_ROWS { Shared::Rows } else { Shared::Columns };
    shared_out(shared, [rows, b.count(), len], |rows, columns, out| {
        let (a, b) = (a.slice(rows.start, rows.len()), b.slice(columns.start, columns.len()));
        matmul_nt(a, b, bias.map(|bias| &bias[columns.start..]), out);
    })
}

/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`, f32 or f16; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let (x, weight, bias) = (dense(x), dense(weight), bias.to_contiguous());
    let (x, bias) = (Matrix::of(&x).in_rows(), bias.as_slice());
    if weight.dtype() != DType::F16 {
        let columns = Matrix::of(&weight).t().in_rows();
        return product(&x, Factor::F32(columns.rows()), bias);
    }
    let columns = Matrix::<f16>::new(&weight, weight.storage()).t();
    if columns.lies_in_rows() {
        return product(&x, Factor::F16(columns.rows()), bias);
    }
    let values = Cow::Owned(columns.values.iter().map(|&half| widen(half)).collect());
    let columns = Matrix { values, dims: columns.dims, strides: columns.strides }.in_rows();
    product(&x, Factor::F32(columns.rows()), bias)
}

/// As [`forward`], of integers.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward_int8(x: FlexTensor, weight: FlexQTensor, bias: FlexTensor) -> FlexTensor {
    let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
    let [rows, len] = [x.shape()[0], x.shape()[1]];
    let a = Narrow::new(&x.storage()[x.layout().start_offset()..][..rows * len], len);
    let columns = weight.shape()[0];
    let b = Weights { values: weight.tensor().storage(), scales: weight.scales(), len };
    let bias = &bias.storage()[bias.layout().start_offset()..];
    // a weight is widened by one thread alone
    let out = shared_out(Shared::Columns, [rows, columns, len], |rows, columns, out| {
        matmul_int8::matmul_nt((&a, rows), (b, columns), bias, out);
    });
    tensor(out, [rows, columns])
}

/// Products of pairs of matrices.
///
/// # Shapes
/// - a: `[batch, m, k]`; b: `[batch, k, n]`; the batch of either may be 1
/// - output: `[batch, m, n]`
pub(super) fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let [m, n] = [a.shape()[1], b.shape()[2]];
    let batch = a.shape()[0].max(b.shape()[0]);
    let (a, b) = (dense(a), dense(b));
    let of = |tensor, i| Matrix::<f32>::in_batch(tensor, if tensor.shape()[0] == 1 { 0 } else { i });
    let products = (0..batch)
        .flat_map(|i| values_of_product(&of(&a, i).in_rows(), Factor::F32(of(&b, i).t().in_rows().rows()), None));
    tensor(products.collect(), [batch, m, n])
}

/// Gradient of x: `grad Wᵀ`.
///
/// # Shapes
/// - weight: `[in, out]`; grad: `[n, out]`
/// - output: `[n, in]`
pub(super) fn backward_x(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
    let (weight, grad) = (dense(weight), dense(grad));
    product(&Matrix::of(&grad).in_rows(), Factor::F32(Matrix::of(&weight).in_rows().rows()), None)
}

/// Gradient of the weight: `xᵀ grad`.
///
/// # Shapes
/// - x: `[n, in]`; grad: `[n, out]`
/// - output: `[in, out]`
pub(super) fn backward_weight(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
    let (x, grad) = (dense(x), dense(grad));
    product(&Matrix::of(&x).t().in_rows(), Factor::F32(Matrix::of(&grad).t().in_rows().rows()), None)
}

/// Gradient of the bias: the sum of the rows.
///
/// # Shapes
/// - grad: `[n, out]`
/// - output: `[out]`
pub(super) fn backward_bias(grad: FlexTensor) -> FlexTensor {
    let (columns, grad) = (grad.shape()[1], grad.to_contiguous());
    let mut sums = vec![0.0; columns];
    for row in grad.storage::<f32>().chunks_exact(columns) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
    tensor(sums, [columns])
}
