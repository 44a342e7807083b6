//! Kernels in 128-bit vectors.

use core::arch::wasm32::{
    f32x4_add, f32x4_convert_i32x4, f32x4_extract_lane, f32x4_mul, f32x4_splat, i16x8_load_extend_i8x8, i32x4_add,
    i32x4_dot_i16x8, i32x4_load_extend_i16x4, i32x4_shl, i32x4_shuffle, i32x4_splat, v128, v128_and, v128_load,
};

use super::{ROWS, scores, steps};
use crate::element::{F16, F16_BITS, GROUP, Int8Query, STEP, Scores};

/// Rows of f32.
pub(crate) fn f32(query: &[[f32; STEP]], rows: &[[f32; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    scores(rows, scales, mask, 1.0, |rows| floats(query, rows, |step, part| load(&step[4 * part..][..4])))
}

/// Rows of f16, the query with the factor that each value then lacks.
pub(crate) fn f16(query: &[[f32; STEP]], rows: &[[F16; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    let bits = i32x4_splat(F16_BITS);
    scores(rows, scales, mask, 1.0, |rows| {
        floats(query, rows, |step, part| {
            let four = &step[4 * part..][..4];
            // SAFETY: reads the four values, at any alignment
            let wide = unsafe { i32x4_load_extend_i16x4(four.as_ptr().cast()) };
            v128_and(i32x4_shl(wide, 13), bits)
        })
    })
}

/// Rows of 8-bit integers.
pub(crate) fn int8(query: &Int8Query, rows: &[[i8; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
    scores(rows, scales, mask, query.scale, |rows| integers(&query.steps, rows))
}

fn load<T>(values: &[T]) -> v128 {
    debug_assert_eq!(size_of_val(values), size_of::<v128>());
    // SAFETY: callers pass 16 bytes; any alignment will do
    unsafe { v128_load(values.as_ptr().cast()) }
}

/// Products of a query with four rows, of which `part_of` returns the values `4 * part` to `4 * part + 3` of a step.
#[inline(always)]
fn floats<E>(
    query: &[[f32; STEP]],
    rows: [&[[E; STEP]]; ROWS],
    part_of: impl Fn(&[E; STEP], usize) -> v128,
) -> [f32; ROWS] {
    // two sums a row: a sum waits for the one before it
    let mut sums = [[f32x4_splat(0.0); 2]; ROWS];
    for (query, rows) in steps(query, rows) {
        for part in 0..STEP / 4 {
            let factor = load(&query[4 * part..][..4]);
            for i in 0..ROWS {
                sums[i][part % 2] = f32x4_add(sums[i][part % 2], f32x4_mul(factor, part_of(rows[i], part)));
            }
        }
    }
    lanes(horizontal_sums(sums.map(|[a, b]| f32x4_add(a, b)), |a, b| f32x4_add(a, b)))
}

/// Products of a query with four rows: neighbouring pairs are multiplied and added in 32 bits at once.
#[inline(always)]
fn integers(query: &[[i16; STEP]], rows: [&[[i8; STEP]]; ROWS]) -> [f32; ROWS] {
    let mut sums = [i32x4_splat(0); ROWS];
    for (query, rows) in steps(query, rows) {
        for half in 0..2 {
            let factor = load(&query[8 * half..][..8]);
            for i in 0..ROWS {
                let eight = &rows[i][8 * half..][..8];
                // SAFETY: reads the eight values, at any alignment
                let wide = unsafe { i16x8_load_extend_i8x8(eight.as_ptr()) };
                sums[i] = i32x4_add(sums[i], i32x4_dot_i16x8(factor, wide));
            }
        }
    }
    lanes(f32x4_convert_i32x4(horizontal_sums(sums, |a, b| i32x4_add(a, b))))
}

/// Sum of each of four vectors.
fn horizontal_sums([a, b, c, d]: [v128; ROWS], add: impl Fn(v128, v128) -> v128) -> v128 {
    let pairs = |a, b| add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
    pairs(pairs(a, b), pairs(c, d))
}

fn lanes(x: v128) -> [f32; ROWS] {
    [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
}
