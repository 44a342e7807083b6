//! Layer norm in two passes over each row, its gradient in two more.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};

use super::parallel::{GROUP, split_mut, total};
use super::simd::sum;
use super::{tensor_from, with_values};
use crate::ops::layer_norm::{FusedLayerNorm, FusedLayerNormBackward};

impl FusedLayerNorm for Flex {
    fn fused_layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        let y = with_values(&x, |x| {
            with_values(&weight, |weight| with_values(&bias, |bias| forward(x, weight, bias, eps)))
        });
        tensor_from(y, x.shape())
    }
}

impl FusedLayerNormBackward for Flex {
    fn fused_layer_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [dx, dweight, dbias] = with_values(&x, |x| {
            with_values(&weight, |weight| with_values(&grad, |grad| backward(x, weight, grad, eps)))
        });
        (tensor_from(dx, x.shape()), tensor_from(dweight, weight.shape()), tensor_from(dbias, weight.shape()))
    }
}

/// Mean and 1 / standard deviation.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let width = row.len() as f32;
    let mean = sum(row.len(), |i| row[i]) / width;
    let variance = sum(row.len(), |i| (row[i] - mean) * (row[i] - mean)) / width;
    (mean, 1.0 / (variance + eps).sqrt())
}

pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0.0; x.len()];
    split_mut(4 * x.len(), &mut out, width, 1, |first, out| forward_rows(&x[first * width..], weight, bias, eps, out));
    out
}

#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn forward_rows(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let (mean, scale) = moments(row, eps);
        for (((y, x), w), b) in out.iter_mut().zip(row).zip(weight).zip(bias) {
            *y = (x - mean) * scale * w + b;
        }
    }
}

/// Gradients of x, weight and bias.
pub(super) fn backward(x: &[f32], weight: &[f32], grad: &[f32], eps: f32) -> [Vec<f32>; 3] {
    let width = weight.len();
    let mut dx = vec![0.0; x.len()];
    let parts = split_mut(8 * x.len(), &mut dx, width, GROUP, |first, dx| {
        let mut sums = vec![0.0; dx.len().div_ceil(GROUP * width) * 2 * width];
        for (group, (dx, sums)) in dx.chunks_mut(GROUP * width).zip(sums.chunks_exact_mut(2 * width)).enumerate() {
            let from = (first + group * GROUP) * width;
            backward_rows(&x[from..], weight, &grad[from..], eps, dx, sums);
        }
        sums
    });
    let mut dweight = total(&parts, 2 * width);
    let dbias = dweight.split_off(width);
    [dx, dweight, dbias]
}

/// Gradient of x for some rows; adds those of weight and bias to `sums`. With x̂ the normalized row and g = grad · weight,
/// dx = (g - mean(g) - x̂ mean(g x̂)) / deviation.
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn backward_rows(x: &[f32], weight: &[f32], grad: &[f32], eps: f32, dx: &mut [f32], sums: &mut [f32]) {
    let width = weight.len();
    let (dweight, dbias) = sums.split_at_mut(width);
    let mut normal = vec![0.0; width];
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
    for ((row, grad), dx) in rows.zip(dx.chunks_exact_mut(width)) {
        let (mean, scale) = moments(row, eps);
        for (normal, x) in normal.iter_mut().zip(row) {
            *normal = (x - mean) * scale;
        }
        for ((dw, g), n) in dweight.iter_mut().zip(grad).zip(&normal) {
            *dw += g * n;
        }
        for (db, g) in dbias.iter_mut().zip(grad) {
            *db += g;
        }
        let normal = &normal[..width];
        let mean_g = sum(width, |i| grad[i] * weight[i]) / width as f32;
        let mean_gn = sum(width, |i| grad[i] * weight[i] * normal[i]) / width as f32;
        for (((dx, g), w), n) in dx.iter_mut().zip(grad).zip(weight).zip(normal) {
            *dx = (g * w - mean_g - n * mean_gn) * scale;
        }
    }
}
