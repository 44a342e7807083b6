//! Kernels as loops that the compiler vectorizes for each of several processors.

use multiversion::multiversion;

use super::{ROWS, scores, steps};
use crate::element::{F16, F16_BITS, GROUP, Int8Query, STEP, Scores};

/// Rows of f32.
#[multiversion(targets = "simd")]
pub(crate) fn f32(query: &[[f32; STEP]], rows: &[[f32; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    scores(rows, scales, mask, 1.0, |rows| floats(query, rows, |x| x))
}

/// Rows of f16, the query with the factor that each value then lacks.
#[multiversion(targets = "simd")]
pub(crate) fn f16(query: &[[f32; STEP]], rows: &[[F16; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    let moved = |x: F16| f32::from_bits((i32::from(x.0 as i16) << 13 & F16_BITS) as u32);
    scores(rows, scales, mask, 1.0, |rows| floats(query, rows, moved))
}

/// Rows of 8-bit integers.
#[multiversion(targets = "simd")]
pub(crate) fn int8(query: &Int8Query, rows: &[[i8; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    scores(rows, scales, mask, query.scale, |rows| integers(&query.steps, rows))
}

/// Products of a query with four rows.
#[inline(always)]
fn floats<E: Copy>(query: &[[f32; STEP]], rows: [&[[E; STEP]]; ROWS], value: impl Fn(E) -> f32) -> [f32; ROWS] {
    let mut sums = [[0f32; STEP]; ROWS];
    for (query, rows) in steps(query, rows) {
        for i in 0..ROWS {
            for j in 0..STEP {
                sums[i][j] += query[j] * value(rows[i][j]);
            }
        }
    }
    sums.map(|sums| sums.into_iter().sum())
}

/// Products of a query with four rows: neighbouring pairs are multiplied and added in 32 bits at once.
#[inline(always)]
fn integers(query: &[[i16; STEP]], rows: [&[[i8; STEP]]; ROWS]) -> [f32; ROWS] {
    let mut sums = [[0i32; STEP / 2]; ROWS];
    for (query, rows) in steps(query, rows) {
        for i in 0..ROWS {
            let product = |j: usize| i32::from(query[j]) * i32::from(rows[i][j]);
            for (j, sum) in sums[i].iter_mut().enumerate() {
                *sum += product(2 * j) + product(2 * j + 1);
            }
        }
    }
    sums.map(|sums| sums.into_iter().sum::<i32>() as f32)
}
