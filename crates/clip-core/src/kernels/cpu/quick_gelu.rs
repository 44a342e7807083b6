//! `x * sigmoid(1.702 x)` in one pass.

use super::exp::exp;

const ALPHA: f32 = 1.702;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

pub(super) fn forward(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| x * sigmoid(ALPHA * x)).collect()
}

/// d/dx x σ(αx) = σ + αx σ (1 - σ).
pub(super) fn backward(x: &[f32], grad: &[f32]) -> Vec<f32> {
    x.iter()
        .zip(grad)
        .map(|(&x, &grad)| {
            let s = sigmoid(ALPHA * x);
            grad * (s + ALPHA * x * (s * (1.0 - s)))
        })
        .collect()
}
