//! `a bᵀ` natively, by the crate that Burn multiplies with, too. It packs operands of any strides, picks AVX-512, AVX2 or NEON when the
//! program runs, and shares large products among the threads. Each value is summed in the same order on any number of threads.

use core::mem::MaybeUninit;

use gemm::Parallelism;

use super::Rows;
use crate::cpu::matmul::Matrix;
use crate::cpu::parallel::split_mut;

/// `a bᵀ + bias`, row-major, on all threads.
///
/// # Shapes
/// - a: `[m, k]`; b: `[n, k]`; bias: `[n]`
/// - output: `[m, n]`
pub(in crate::cpu) fn product(a: &Matrix<'_, f32>, b: &Matrix<'_, f32>, bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, columns) = (a.dims[0], b.dims[0]);
    let mut out = Vec::with_capacity(rows * columns);
    if let Some(bias) = bias {
        let room = &mut out.spare_capacity_mut()[..rows * columns];
        split_mut(room.len(), room, columns, 1, |_, room: &mut [MaybeUninit<f32>]| {
            for row in room.chunks_exact_mut(columns) {
                row.write_copy_of_slice(bias);
            }
        });
    }
    #[cfg(feature = "threads")]
    let parallelism = Parallelism::Rayon(0);
    #[cfg(not(feature = "threads"))]
    let parallelism = Parallelism::None;
    let (a, b) = (Operand::of(a), Operand::of(b));
    // SAFETY: there is room for all values; those that are added to have been written; afterwards all have been
    unsafe {
        write(a, b, out.as_mut_ptr(), columns, bias.is_some(), parallelism);
        out.set_len(rows * columns);
    }
    out
}

/// `a bᵀ` into rows `stride` apart in one slice, on this thread.
pub(super) fn gemm_nt_into(a: Rows<'_>, b: Rows<'_>, out: &mut [f32], stride: usize) {
    assert!(stride >= b.count, "rows overlap");
    assert!(a.count == 0 || (a.count - 1) * stride + b.count <= out.len(), "the result has no room");
    // SAFETY: by the asserts
    unsafe { write(Operand::rows(a), Operand::rows(b), out.as_mut_ptr(), stride, false, Parallelism::None) }
}

/// A matrix whose values all lie in a slice.
struct Operand<'a> {
    values: &'a [f32],
    dims: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Operand<'a> {
    fn new(values: &'a [f32], dims: [usize; 2], strides: [usize; 2]) -> Self {
        let last: usize = dims.iter().zip(strides).map(|(dim, stride)| dim.saturating_sub(1) * stride).sum();
        assert!(dims.contains(&0) || last < values.len(), "values are missing");
        Self { values, dims, strides }
    }

    fn of(matrix: &'a Matrix<'_, f32>) -> Self {
        Self::new(&matrix.values, matrix.dims, matrix.strides)
    }

    fn rows(rows: Rows<'a>) -> Self {
        Self::new(rows.values, [rows.count, rows.len], [rows.stride, 1])
    }
}

/// Writes `a bᵀ`, or adds it to what is there.
///
/// # Safety
/// `out` has room for rows of `b.dims[0]` values, `stride` apart. If the product is added, they have been written before.
unsafe fn write(a: Operand<'_>, b: Operand<'_>, out: *mut f32, stride: usize, adds: bool, parallelism: Parallelism) {
    let ([m, k], [n, b_k]) = (a.dims, b.dims);
    assert_eq!(k, b_k, "rows have different lengths");
    let [a_row, a_column, b_row, b_column] =
        [a.strides[0], a.strides[1], b.strides[0], b.strides[1]].map(|stride| stride as isize);
    // SAFETY: operands hold their values, the caller answers for `out`; nothing else refers to it
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            adds,
            a.values.as_ptr(),
            a_column,
            a_row,
            b.values.as_ptr(),
            b_row,
            b_column,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
