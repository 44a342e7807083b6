//! Layer norm in two passes over each row, its gradient in two more.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};

use super::parallel::split_mut;
use super::{tensor_from, with_values};
use crate::ops::layer_norm::{FusedLayerNorm, FusedLayerNormBackward};

/// Independent partial sums, which vectorize.
const LANES: usize = 8;

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
        let (dx, dweight, dbias) = with_values(&x, |x| {
            with_values(&weight, |weight| with_values(&grad, |grad| backward(x, weight, grad, eps)))
        });
        (tensor_from(dx, x.shape()), tensor_from(dweight, weight.shape()), tensor_from(dbias, weight.shape()))
    }
}

/// Sum of `term` over the positions of a row.
#[inline(always)]
fn sum(width: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = width / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(i + lane);
        }
    }
    lanes.iter().sum::<f32>() + (whole..width).map(term).sum::<f32>()
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
    split_mut(4 * x.len(), &mut out, width, 1, |first, out| {
        for (row, out) in x[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, scale) = moments(row, eps);
            for (((y, x), w), b) in out.iter_mut().zip(row).zip(weight).zip(bias) {
                *y = (x - mean) * scale * w + b;
            }
        }
    });
    out
}

/// Gradients of x, weight and bias. With x̂ the normalized row and g = grad · weight, dx = (g - mean(g) - x̂ mean(g x̂)) / deviation.
fn backward(x: &[f32], weight: &[f32], grad: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut dx = Vec::with_capacity(x.len());
    let (mut dweight, mut dbias) = (vec![0.0; width], vec![0.0; width]);
    let mut normal = vec![0.0; width];
    for (row, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
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
        let terms = grad.iter().zip(weight).zip(normal);
        dx.extend(terms.map(|((g, w), n)| (g * w - mean_g - n * mean_gn) * scale));
    }
    (dx, dweight, dbias)
}
