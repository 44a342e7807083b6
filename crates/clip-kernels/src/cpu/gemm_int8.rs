//! `a bᵀ` in integers: 8-bit weights and activations of 12 to 16 bits, with one scale a row on either side. Sums are exact.
//!
//! A step multiplies eight pairs where [`super::gemm`] multiplies four. The rows of a tile are interleaved step by step, so that its
//! loop increments two addresses instead of six.

use core::ops::Range;

use super::parallel::split;
use super::simd::{I16x8, I32x4, dequantize, dot, horizontal_int_sums, quantize, widen, zero};
use crate::dtype::{QUANT_MAX, QUANT_STEP as STEP, scale_of};

/// Time of quantizing one value, in multiply-adds.
const WORK: usize = 6;
/// Rows of a tile.
const ROWS: usize = 2;
/// Columns of a tile.
const COLUMNS: usize = 4;

/// One step of each of `N` rows.
type Steps<const N: usize> = [I16x8; N];

/// Activations, quantized to as many of 16 bits as let the sum of a row fit into 32.
pub(super) struct Activations {
    /// Tiles of [`ROWS`] rows, the last one zero-padded, in pieces of `tiles_per_piece` that threads made.
    pieces: Vec<Vec<Steps<ROWS>>>,
    tiles_per_piece: usize,
    /// One a row.
    scales: Vec<f32>,
    /// Steps a row.
    steps: usize,
}

impl Activations {
    /// Quantizes rows of `len` values, a multiple of [`STEP`].
    pub(super) fn new(values: &[f32], len: usize) -> Self {
        let tile = ROWS * len;
        let parts = split(WORK * values.len(), values.len().div_ceil(tile), 1, |first, count| {
            Self::piece(&values[first * tile..values.len().min((first + count) * tile)], len)
        });
        let (pieces, scales): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let steps = len / STEP;
        let tiles_per_piece = pieces.first().map_or(1, |piece: &Vec<_>| piece.len() / steps);
        Self { pieces, tiles_per_piece, scales: scales.concat(), steps }
    }

    /// Tiles and scales of one thread's rows.
    fn piece(values: &[f32], len: usize) -> (Vec<Steps<ROWS>>, Vec<f32>) {
        let max = (i32::MAX as usize / QUANT_MAX / len).min(i16::MAX as usize) as f32;
        let count = values.len() / len;
        let mut tiles = Vec::with_capacity(count.div_ceil(ROWS) * (len / STEP));
        let mut scales = Vec::with_capacity(count);
        for rows in values.chunks(ROWS * len) {
            let mut inverses = [0.0; ROWS];
            for (row, inverse) in rows.chunks_exact(len).zip(&mut inverses) {
                let (scale, inverse_scale) = scale_of(row, max);
                scales.push(scale);
                *inverse = inverse_scale;
            }
            let (first, second) = rows.split_at(len);
            // without a second row, the first stands in for it with an inverse scale of zero
            let second = if second.is_empty() { first } else { second };
            let eights = first.as_chunks().0.iter().zip(second.as_chunks().0);
            tiles.extend(eights.map(|(a, b)| [quantize(a, inverses[0]), quantize(b, inverses[1])]));
        }
        (tiles, scales)
    }

    fn tile(&self, i: usize) -> &[Steps<ROWS>] {
        &self.pieces[i / self.tiles_per_piece][i % self.tiles_per_piece * self.steps..][..self.steps]
    }
}

/// 8-bit weights.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[n, len]`
    pub(super) values: &'a [i8],
    /// The same number a row, equal within a row.
    pub(super) scales: &'a [f32],
    pub(super) len: usize,
}

impl Weights<'_> {
    /// Widens some of the columns into a tile.
    fn widen(&self, columns: Range<usize>, tile: &mut [Steps<COLUMNS>]) {
        for (j, column) in columns.enumerate() {
            let values = self.values[column * self.len..][..self.len].as_chunks().0;
            for (step, eight) in tile.iter_mut().zip(values) {
                step[j] = widen(eight);
            }
        }
    }

    fn scale(&self, column: usize) -> f32 {
        let blocks = self.scales.len() * self.len / self.values.len();
        self.scales[column * blocks]
    }
}

/// `a bᵀ + bias` for some rows and columns.
///
/// # Shapes
/// - a: `[m, len]`; b: `[n, len]`; bias: `[n]`
/// - rows: start at a multiple of [`ROWS`]
/// - out: `columns` of each of `rows`
pub(super) fn gemm_nt(
    (a, rows): (&Activations, Range<usize>),
    (b, columns): (Weights<'_>, Range<usize>),
    bias: &[f32],
    out: &mut [&mut [f32]],
) {
    let mut wide = vec![[widen(&[0; STEP]); COLUMNS]; a.steps];
    for first in columns.clone().step_by(COLUMNS) {
        let tile = first..columns.end.min(first + COLUMNS);
        b.widen(tile.clone(), &mut wide);
        let (mut scales, mut biases) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        for (j, column) in tile.enumerate() {
            (scales[j], biases[j]) = (b.scale(column), bias[column]);
        }
        for top in rows.clone().step_by(ROWS) {
            let sums = products(a.tile(top / ROWS), &wide);
            for (row, sums) in (top..rows.end).zip(&sums) {
                let values = dequantize(horizontal_int_sums(*sums), a.scales[row], &scales, &biases);
                let out = &mut out[row - rows.start][first - columns.start..];
                if let Some(four) = out.first_chunk_mut() {
                    *four = values;
                } else {
                    // with copy_from_slice the compiler merges both arms into one call of memory.copy
                    for (out, value) in out.iter_mut().zip(values) {
                        *out = value;
                    }
                }
            }
        }
    }
}

/// Dot products of a tile, each as four partial sums.
///
/// The inner loop: a plain function that only returns its result, so that everything stays in registers.
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
#[inline(never)]
fn products(a: &[Steps<ROWS>], b: &[Steps<COLUMNS>]) -> [[I32x4; COLUMNS]; ROWS] {
    let mut sums = [[zero(); COLUMNS]; ROWS];
    for (rows, columns) in a.iter().zip(b) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                sums[i][j] = dot(rows[i], columns[j], sums[i][j]);
            }
        }
    }
    sums
}
