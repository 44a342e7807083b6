//! The inner loops: a query against a group of rows, four at a time, so that each part of the query is loaded once for four.
//!
//! A row's score depends on the row and the query alone, not on where the row is: equal rows have equal scores.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use native as vector;
#[cfg(target_arch = "wasm32")]
use wasm as vector;

pub(crate) use vector::{f16, f32, int8};

use crate::element::{GROUP, STEP, Scores};

/// Rows that are scored together.
const ROWS: usize = 4;

/// Scores a group by `products`, the products of a query with four rows, where a bit of `mask` is set.
#[inline(always)]
fn scores<E>(
    rows: &[[E; STEP]],
    scales: &[f32; GROUP],
    mask: u64,
    query_scale: f32,
    products: impl Fn([&[[E; STEP]]; ROWS]) -> [f32; ROWS],
) -> Scores {
    let mut scores = [0.0; GROUP];
    let steps = rows.len() / GROUP;
    let (scores_by_four, scales_by_four) = (scores.as_chunks_mut::<ROWS>().0, scales.as_chunks::<ROWS>().0);
    for (i, (scores, scales)) in scores_by_four.iter_mut().zip(scales_by_four).enumerate() {
        if mask >> (i * ROWS) & 0b1111 == 0 {
            continue;
        }
        let row = |j| &rows[(i * ROWS + j) * steps..][..steps];
        let products = products([row(0), row(1), row(2), row(3)]);
        for j in 0..ROWS {
            scores[j] = products[j] * (scales[j] * query_scale);
        }
    }
    scores
}

/// The steps of a query and of four rows.
#[inline(always)]
fn steps<'a, Q, E>(query: &'a [Q], [a, b, c, d]: [&'a [E]; ROWS]) -> impl Iterator<Item = (&'a Q, [&'a E; ROWS])> {
    query.iter().zip(a).zip(b).zip(c).zip(d).map(|((((query, a), b), c), d)| (query, [a, b, c, d]))
}
