//! `a bᵀ` with K contiguous in both operands: the layout of row-major inputs and of nn.Linear's `[out, in]` weights, so that nothing
//! is packed. A tile of 2 × 4 results stays in registers, each a vector of partial sums.
//!
//! Two loads of a and four of b feed eight multiply-adds: on x86-64 as V8 compiles it that reaches nine tenths of the speed without
//! loads. Larger tiles spill there: 2 × 4 beats 3 × 3, 3 × 4 and 4 × 4.

#[cfg(not(target_arch = "wasm32"))]
pub(super) mod native;

use core::array::from_fn;
use core::hint::black_box;

use burn::tensor::f16;

#[cfg(not(target_arch = "wasm32"))]
use super::OWN_GEMM;
use super::simd::{F32x4, add, array, horizontal_sums, load, mul_add, splat, transpose as transpose4};

/// Values that are prefetched together: 128 KB, an eighth of a core's L2 cache.
const PREFETCH: usize = 1 << 15;

/// The rows of a matrix, each contiguous, `stride` apart in memory.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T = f32> {
    values: &'a [T],
    stride: usize,
    count: usize,
    len: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `count` rows of `len` values, the first at the start of `values`.
    pub(super) fn new(values: &'a [T], stride: usize, count: usize, len: usize) -> Self {
        Self { values, stride, count, len }
    }

    /// `count` rows from `first` on.
    pub(super) fn slice(self, first: usize, count: usize) -> Self {
        Self { values: &self.values[first * self.stride..], count, ..self }
    }

    #[inline(always)]
    fn row(&self, i: usize) -> &'a [T] {
        &self.values[i * self.stride..][..self.len]
    }
}

impl Rows<'_> {
    /// Loads all rows into the cache if they are contiguous. Reading four rows in parallel from memory is less than half as fast as
    /// reading one after another.
    fn prefetch(self) {
        if self.stride == self.len {
            black_box(self.values[..self.count * self.len].iter().fold(0, |bits, value| bits | value.to_bits()));
        }
    }
}

/// Rows in f32 or f16; f16 is widened four rows at a time.
#[derive(Clone, Copy)]
pub(super) enum AnyRows<'a> {
    F32(Rows<'a>),
    F16(Rows<'a, f16>),
}

impl AnyRows<'_> {
    /// `count` rows from `first` on.
    pub(super) fn slice(self, first: usize, count: usize) -> Self {
        match self {
            Self::F32(rows) => Self::F32(rows.slice(first, count)),
            Self::F16(rows) => Self::F16(rows.slice(first, count)),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::F32(rows) => rows.count,
            Self::F16(rows) => rows.count,
        }
    }
}

/// `a bᵀ + bias`.
///
/// # Shapes
/// - a: `[m, k]`; b: `[n, k]`; bias: `[n]`
/// - out: m rows of n
pub(super) fn gemm_nt(a: Rows<'_>, b: AnyRows<'_>, bias: Option<&[f32]>, out: &mut [&mut [f32]]) {
    let n = b.count();
    let rows_ahead = (PREFETCH / a.len.max(1)).next_multiple_of(4).max(4);
    let bias = |column: usize| bias.map_or(0.0, |bias| bias[column]);
    let mut wide = Vec::new();
    let mut column = 0;
    while column + 4 <= n {
        // f16 rows are read one after another as they are widened
        if let AnyRows::F32(b) = b
            && column % rows_ahead == 0
        {
            b.slice(column, rows_ahead.min(n - column)).prefetch();
        }
        let rows = widened::<4>(b, column, &mut wide);
        strip(a, rows, from_fn(|j| bias(column + j)), out, column);
        column += 4;
    }
    for column in column..n {
        let rows = widened::<1>(b, column, &mut wide);
        strip(a, rows, [bias(column)], out, column);
    }
}

/// `a bᵀ` into rows `stride` apart in one slice.
pub(super) fn gemm_nt_into(a: Rows<'_>, b: Rows<'_>, out: &mut [f32], stride: usize) {
    #[cfg(not(target_arch = "wasm32"))]
    if !OWN_GEMM {
        return native::gemm_nt_into(a, b, out, stride);
    }
    gemm_nt(a, AnyRows::F32(b), None, &mut out.chunks_mut(stride).take(a.count).collect::<Vec<_>>());
}

/// `N` rows from `first` on; f16 rows are widened into `wide`.
#[inline(always)]
fn widened<'a, const N: usize>(rows: AnyRows<'a>, first: usize, wide: &'a mut Vec<f32>) -> [&'a [f32]; N] {
    match rows {
        AnyRows::F32(rows) => from_fn(|j| rows.row(first + j)),
        AnyRows::F16(rows) => {
            wide.clear();
            for j in 0..N {
                wide.extend(rows.row(first + j).iter().map(|&half| f16_to_f32(half)));
            }
            from_fn(|j| &wide[j * rows.len..][..rows.len])
        }
    }
}

/// f16 to f32 without branches, so that loops over it vectorize.
#[inline(always)]
pub(super) fn f16_to_f32(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    // the exponents' biases differ by 112: multiplying by 2^112 also normalizes subnormals
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    let infinite = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | infinite | (bits & 0x8000) << 16)
}

/// Computes `N` columns of the result, from `column` on.
#[cfg_attr(all(target_arch = "wasm32", feature = "relaxed-simd"), target_feature(enable = "relaxed-simd"))]
fn strip<const N: usize>(a: Rows<'_>, b: [&[f32]; N], bias: [f32; N], out: &mut [&mut [f32]], column: usize) {
    let pairs = a.count / 2 * 2;
    for i in (0..pairs).step_by(2) {
        let rows = [a.row(i), a.row(i + 1)];
        let partial = partial_sums(rows, b);
        for r in 0..2 {
            finish(partial[r], rows[r], b, bias, &mut out[i + r][column..]);
        }
    }
    if pairs < a.count {
        let row = a.row(pairs);
        let [partial] = partial_sums([row], b);
        finish(partial, row, b, bias, &mut out[pairs][column..]);
    }
}

/// Dot products of each row of `a` with each of `b`, each as four partial sums, without the last K mod 4 values.
///
/// The inner loop: a plain function that only returns its result, so that everything stays in registers.
#[inline]
#[cfg_attr(all(target_arch = "wasm32", feature = "relaxed-simd"), target_feature(enable = "relaxed-simd"))]
fn partial_sums<const M: usize, const N: usize>(a: [&[f32]; M], b: [&[f32]; N]) -> [[F32x4; N]; M] {
    let steps = a[0].len() / 4;
    let mut rows: [&[[f32; 4]]; M] = [&[]; M];
    let mut columns: [&[[f32; 4]]; N] = [&[]; N];
    // of equal length, so that the loop has no bounds checks
    for i in 0..M {
        rows[i] = &a[i].as_chunks().0[..steps];
    }
    for j in 0..N {
        columns[j] = &b[j].as_chunks().0[..steps];
    }
    let mut partial = [[splat(0.0); N]; M];
    for p in 0..steps {
        let mut column = [splat(0.0); N];
        for j in 0..N {
            column[j] = load(&columns[j][p]);
        }
        for i in 0..M {
            let row = load(&rows[i][p]);
            for j in 0..N {
                partial[i][j] = mul_add(row, column[j], partial[i][j]);
            }
        }
    }
    partial
}

/// Writes `N` values of one row: adds up the partial sums, the bias and the last K mod 4 products.
#[inline(always)]
fn finish<const N: usize>(partial: [F32x4; N], row: &[f32], b: [&[f32]; N], bias: [f32; N], out: &mut [f32]) {
    let (mut sums, mut biases) = ([splat(0.0); 4], [0.0; 4]);
    sums[..N].copy_from_slice(&partial);
    biases[..N].copy_from_slice(&bias);
    let out = &mut out[..N];
    out.copy_from_slice(&array(add(horizontal_sums(sums), load(&biases)))[..N]);
    for p in row.len() / 4 * 4..row.len() {
        for j in 0..N {
            out[j] += row[p] * b[j][p];
        }
    }
}

/// The transpose `[len, stride]`, rows zero-padded to a multiple of four, and its stride.
pub(super) fn transpose(x: Rows<'_>) -> (Vec<f32>, usize) {
    let stride = x.count.next_multiple_of(4);
    let mut out = vec![0.0; x.len * stride];
    transpose_into(x, &mut out, stride);
    (out, stride)
}

/// Writes the columns of `x` as rows of `out`, `stride` apart.
pub(super) fn transpose_into(x: Rows<'_>, out: &mut [f32], stride: usize) {
    let (rows, columns) = (x.count / 4 * 4, x.len / 4 * 4);
    for i in (0..rows).step_by(4) {
        let four: [&[[f32; 4]]; 4] = from_fn(|r| x.row(i + r).as_chunks().0);
        for block in 0..columns / 4 {
            let block4 = transpose4(from_fn(|r| load(&four[r][block])));
            for (c, column) in block4.into_iter().enumerate() {
                out[(4 * block + c) * stride + i..][..4].copy_from_slice(&array(column));
            }
        }
        for column in columns..x.len {
            for r in i..i + 4 {
                out[column * stride + r] = x.row(r)[column];
            }
        }
    }
    for i in rows..x.count {
        for (column, &value) in x.row(i).iter().enumerate() {
            out[column * stride + i] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (got, expected) = (f16_to_f32(half), half.to_f32());
            assert!(
                got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(),
                "{bits:x}: {got} {expected}"
            );
        }
    }

    #[test]
    fn products_equal_those_of_single_rows() {
        // several prefetched groups of rows, the last one incomplete
        let (m, n, len) = (3, 2 * (PREFETCH / 2048) + 7, 2048);
        let value = |i: usize| (i * 31 % 17) as f32 - 8.0;
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * len).map(value).collect(), (0..n * len).map(value).collect());
        let mut out = vec![0.0; m * n];
        let (a, b) = (Rows::new(&a, len, m, len), Rows::new(&b, len, n, len));
        gemm_nt(a, AnyRows::F32(b), None, &mut out.chunks_mut(n).collect::<Vec<_>>());
        for (i, &got) in out.iter().enumerate() {
            let expected: f32 = a.row(i / n).iter().zip(b.row(i % n)).map(|(a, b)| a * b).sum();
            assert_eq!(got, expected, "{i}");
        }
    }

    #[test]
    fn transposing_pads_with_zeros() {
        let values: Vec<f32> = (1..=42).map(|x| x as f32).collect();
        for (count, len) in [(6, 7), (5, 5), (1, 7), (4, 4), (3, 2)] {
            let (columns, stride) = transpose(Rows::new(&values, 7, count, len));
            assert_eq!((stride % 4, columns.len()), (0, len * stride));
            for (i, &value) in columns.iter().enumerate() {
                let (column, row) = (i / stride, i % stride);
                assert_eq!(value, if row < count { values[row * 7 + column] } else { 0.0 });
            }
        }
    }
}
