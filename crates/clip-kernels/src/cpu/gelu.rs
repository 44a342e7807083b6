//! The GELUs as `x g(x)`, with gradient `g + x g'`, in one pass each.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};

use super::parallel::split_mut;
use super::simd::exp;
use super::{tensor_from, with_values};
use crate::ops::gelu::{FusedGelu, FusedGeluBackward, Gelu};

/// Time of one value, in multiply-adds.
const WORK: usize = 16;

impl FusedGelu for Flex {
    fn fused_gelu(x: FlexTensor, gelu: Gelu) -> FlexTensor {
        tensor_from(with_values(&x, |x| forward(x, gelu)), x.shape())
    }
}

impl FusedGeluBackward for Flex {
    fn fused_gelu_backward(x: FlexTensor, grad: FlexTensor, gelu: Gelu) -> FlexTensor {
        tensor_from(with_values(&x, |x| with_values(&grad, |grad| backward(x, grad, gelu))), x.shape())
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// σ(u) and its derivative, from u and u'.
#[inline(always)]
fn gate(u: f32, du: f32) -> (f32, f32) {
    let s = sigmoid(u);
    (s, du * (s * (1.0 - s)))
}

#[inline(always)]
fn quick(x: f32) -> (f32, f32) {
    gate(Gelu::QUICK * x, Gelu::QUICK)
}

/// ½ (1 + tanh(u)) is σ(2u).
#[inline(always)]
fn tanh(x: f32) -> (f32, f32) {
    let squared = x * x;
    gate(Gelu::TANH * x * (1.0 + Gelu::CUBIC * squared), Gelu::TANH * (1.0 + 3.0 * Gelu::CUBIC * squared))
}

/// Φ and its density. The error function by Abramowitz and Stegun, 7.1.26, to 1.5e-7.
#[inline(always)]
fn erf(x: f32) -> (f32, f32) {
    let z = x.abs() * core::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + Gelu::ERF_P * z);
    let bell = exp(-(z * z).min(87.0));
    let [a, b, c, d, e] = Gelu::ERF;
    let tail = 0.5 * bell * t * (a + t * (b + t * (c + t * (d + t * e))));
    (if x < 0.0 { tail } else { 1.0 - tail }, bell * Gelu::DENSITY)
}

#[inline(always)]
fn values(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for (y, &x) in out.iter_mut().zip(x) {
        *y = x * f(x).0;
    }
}

#[inline(always)]
fn slopes(x: &[f32], grad: &[f32], out: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for ((dx, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
        let (g, dg) = f(x);
        *dx = grad * (g + x * dg);
    }
}

#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn forward_piece(x: &[f32], out: &mut [f32], gelu: Gelu) {
    match gelu {
        Gelu::Quick => values(x, out, quick),
        Gelu::Erf => values(x, out, erf),
        Gelu::Tanh => values(x, out, tanh),
    }
}

#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn backward_piece(x: &[f32], grad: &[f32], out: &mut [f32], gelu: Gelu) {
    match gelu {
        Gelu::Quick => slopes(x, grad, out, quick),
        Gelu::Erf => slopes(x, grad, out, erf),
        Gelu::Tanh => slopes(x, grad, out, tanh),
    }
}

pub(super) fn forward(x: &[f32], gelu: Gelu) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    split_mut(WORK * x.len(), &mut out, 1, 4, |first, out| forward_piece(&x[first..], out, gelu));
    out
}

/// Gradient of x.
pub(super) fn backward(x: &[f32], grad: &[f32], gelu: Gelu) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    split_mut(WORK * x.len(), &mut out, 1, 4, |first, out| backward_piece(&x[first..], &grad[first..], out, gelu));
    out
}
