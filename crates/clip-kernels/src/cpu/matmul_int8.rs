//! Products of rows like [`super::matmul`]'s, of integers: weights in 8 bits and what they are multiplied with in 12 to 16, a scale a
//! row on either side. Sums are exact.
//!
//! A step takes eight pairs where floats take four. Rows of a tile lie step by step side by side, so that its loop has two
//! addresses to count and not six.

use core::ops::Range;

use super::ints::{Eight, Sums, dot, narrowed, scaled, totals, widened, zero};
use super::parallel::split;
use crate::int8::{self, STEP, scale};

/// Multiply-adds that a value takes the time of.
const WORK: usize = 6;
/// Rows of a tile.
const ROWS: usize = 2;
/// Columns of a tile.
const COLUMNS: usize = 4;

/// A step's values of each of `N` rows.
type Steps<const N: usize> = [Eight; N];

/// Rows in as many of 16 bits as leave room for the sum.
pub(super) struct Narrow {
    /// Tiles of [`ROWS`], the last filled up with zeros: as many in each piece, but for the last.
    pieces: Vec<Vec<Steps<ROWS>>>,
    tiles_of_a_piece: usize,
    /// One a row.
    scales: Vec<f32>,
    /// Steps of a row.
    steps: usize,
}

impl Narrow {
    /// Of rows of `len` values, a multiple of [`STEP`].
    pub(super) fn new(values: &[f32], len: usize) -> Self {
        let tile = ROWS * len;
        let parts = split(WORK * values.len(), values.len().div_ceil(tile), 1, |first, count| {
            Self::part(&values[first * tile..values.len().min((first + count) * tile)], len)
        });
        let (pieces, scales): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let steps = len / STEP;
        let tiles_of_a_piece = pieces.first().map_or(1, |piece: &Vec<_>| piece.len() / steps);
        Self { pieces, tiles_of_a_piece, scales: scales.concat(), steps }
    }

    /// Tiles and scales, on one thread.
    fn part(values: &[f32], len: usize) -> (Vec<Steps<ROWS>>, Vec<f32>) {
        let peak = (i32::MAX as usize / int8::PEAK / len).min(i16::MAX as usize) as f32;
        let count = values.len() / len;
        let mut tiles = Vec::with_capacity(count.div_ceil(ROWS) * (len / STEP));
        let mut scales = Vec::with_capacity(count);
        for rows in values.chunks(ROWS * len) {
            let mut inverses = [0.0; ROWS];
            for (row, inverse) in rows.chunks_exact(len).zip(&mut inverses) {
                let (scale, its) = scale(row, peak);
                scales.push(scale);
                *inverse = its;
            }
            let (first, second) = rows.split_at(len);
            // where there is no second, nothing is what the first is multiplied with
            let second = if second.is_empty() { first } else { second };
            let eights = first.as_chunks().0.iter().zip(second.as_chunks().0);
            tiles.extend(eights.map(|(a, b)| [narrowed(a, inverses[0]), narrowed(b, inverses[1])]));
        }
        (tiles, scales)
    }

    fn tile(&self, i: usize) -> &[Steps<ROWS>] {
        &self.pieces[i / self.tiles_of_a_piece][i % self.tiles_of_a_piece * self.steps..][..self.steps]
    }
}

/// Weights in 8 bits.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[n, len]`
    pub(super) values: &'a [i8],
    /// Some a row, all alike.
    pub(super) scales: &'a [f32],
    pub(super) len: usize,
}

impl Weights<'_> {
    /// Some columns, widened into a tile.
    fn widen(&self, columns: Range<usize>, tile: &mut [Steps<COLUMNS>]) {
        for (j, column) in columns.enumerate() {
            let values = self.values[column * self.len..][..self.len].as_chunks().0;
            for (step, eight) in tile.iter_mut().zip(values) {
                step[j] = widened(eight);
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
/// - rows: from a multiple of [`ROWS`] on
/// - out: the columns of each of the rows
pub(super) fn matmul_nt(
    (a, rows): (&Narrow, Range<usize>),
    (b, columns): (Weights<'_>, Range<usize>),
    bias: &[f32],
    out: &mut [&mut [f32]],
) {
    let mut wide = vec![[widened(&[0; STEP]); COLUMNS]; a.steps];
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
                let values = scaled(totals(*sums), a.scales[row], &scales, &biases);
                let out = &mut out[row - rows.start][first - columns.start..];
                if let Some(four) = out.first_chunk_mut() {
                    *four = values;
                } else {
                    // not copy_from_slice: both arms would become one call of memory.copy
                    for (out, value) in out.iter_mut().zip(values) {
                        *out = value;
                    }
                }
            }
        }
    }
}

/// A tile, each product still in four sums.
///
/// The inner loop: plain, and in a function that nothing but its result leaves, so that all of it stays in registers.
#[inline(never)]
fn products(a: &[Steps<ROWS>], b: &[Steps<COLUMNS>]) -> [[Sums; COLUMNS]; ROWS] {
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
