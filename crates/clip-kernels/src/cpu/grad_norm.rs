//! Sum of squares: f32 in parts of 4,096 values, f64 across them.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};

use super::parallel::split;
use super::{tensor_from, with_values};
use crate::ops::grad_norm::FusedGradNorm;

/// Independent f32 sums, which vectorize.
const LANES: usize = 16;
/// Values that are added up in f32 before their sum joins the f64 one.
const PART: usize = 256 * LANES;

impl FusedGradNorm for Flex {
    fn fused_add_sum_of_squares(sums: FlexTensor, x: FlexTensor) -> FlexTensor {
        let added = with_values(&sums, |sums| with_values(&x, |x| add(sums, x)));
        tensor_from(added, sums.shape())
    }
}

/// The sums, with the squares of x added to the first.
fn add(sums: &[f32], x: &[f32]) -> Vec<f32> {
    let parts = split(x.len(), x.len().div_ceil(PART), 1, |first, count| {
        x[first * PART..x.len().min((first + count) * PART)].chunks(PART).map(sum_of_squares).collect::<Vec<_>>()
    });
    let total: f64 = parts.iter().flatten().sum();
    let mut sums = sums.to_vec();
    if let Some(first) = sums.first_mut() {
        *first = (f64::from(*first) + total) as f32;
    }
    sums
}

/// Sum of the squares of at most [`PART`] values.
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn sum_of_squares(x: &[f32]) -> f64 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(sum, x)| *sum += x * x);
    }
    lanes.iter().chain(&[rest.iter().map(|x| x * x).sum()]).map(|&sum| f64::from(sum)).sum()
}
