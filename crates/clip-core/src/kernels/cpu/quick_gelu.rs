//! `x * sigmoid(1.702 x)` in one pass.

use super::exp::exp;
use super::parallel::split_mut;

const ALPHA: f32 = 1.702;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Multiply-adds that a value takes the time of.
const WORK: usize = 16;

pub(super) fn forward(x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    split_mut(WORK * x.len(), &mut out, 1, 4, |first, out| {
        for (y, &x) in out.iter_mut().zip(&x[first..]) {
            *y = x * sigmoid(ALPHA * x);
        }
    });
    out
}

/// d/dx x σ(αx) = σ + αx σ (1 - σ).
pub(super) fn backward(x: &[f32], grad: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    split_mut(WORK * x.len(), &mut out, 1, 4, |first, out| {
        for ((dx, &x), &grad) in out.iter_mut().zip(&x[first..]).zip(&grad[first..]) {
            let s = sigmoid(ALPHA * x);
            *dx = grad * (s + ALPHA * x * (s * (1.0 - s)));
        }
    });
    out
}
