//! Attention, one head at a time. It reads heads from the rows of qkv in place, without copies to split or join them, and holds the
//! scores of a block of queries only.

use burn::backend::Flex;
use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;

use super::gemm::{Rows, gemm_nt_into, transpose_into};
use super::parallel::{split, split_mut};
use super::simd::{add, exp, max, reduce, sum};
use super::{tensor_from, with_values};
use crate::ops::attention::{FusedAttention, FusedAttentionBackward};

/// Queries of a block. Causal attention skips the keys that no query of the block sees.
const BLOCK: usize = 16;

impl FusedAttention for Flex {
    fn fused_attention(qkv: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = Shape::new(&qkv.shape(), heads, causal);
        tensor_from(with_values(&qkv, |qkv| forward(qkv, shape)), [shape.batch, shape.length, shape.width()])
    }
}

impl FusedAttentionBackward for Flex {
    fn fused_attention_backward(qkv: FlexTensor, grad: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = Shape::new(&qkv.shape(), heads, causal);
        tensor_from(with_values(&qkv, |qkv| with_values(&grad, |grad| backward(qkv, grad, shape))), qkv.shape())
    }
}

/// Dimensions of an attention.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    batch: usize,
    length: usize,
    heads: usize,
    head_dim: usize,
    causal: bool,
}

impl Shape {
    /// From `[batch, length, 3 * width]`.
    pub(super) fn new(qkv: &[usize], heads: usize, causal: bool) -> Self {
        Self { batch: qkv[0], length: qkv[1], heads, head_dim: qkv[2] / 3 / heads, causal }
    }

    fn width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Number of keys that query `i` sees.
    fn seen(self, i: usize) -> usize {
        if self.causal { i + 1 } else { self.length }
    }

    fn scale(self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    /// Stride of rows with one value a position, padded to a multiple of four.
    fn stride(self) -> usize {
        self.length.next_multiple_of(4)
    }

    /// Offset of a head's `part` (0 query, 1 key, 2 value) in each row of qkv.
    fn offset(self, part: usize, head: usize) -> usize {
        part * self.width() + head * self.head_dim
    }

    /// One head's `part`: `[length, head_dim]`.
    fn part(self, item: &[f32], part: usize, head: usize) -> Rows<'_> {
        Rows::new(&item[self.offset(part, head)..], 3 * self.width(), self.length, self.head_dim)
    }

    /// Scratch space for a transposed part: `[head_dim, stride]`.
    fn columns(self) -> Vec<f32> {
        vec![0.0; self.head_dim * self.stride()]
    }
}

/// Softmax of `scale * scores`, in place.
#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) {
    let largest = reduce(scores, f32::NEG_INFINITY, max, |a, b| if a < b { b } else { a });
    for s in scores.iter_mut() {
        *s = exp((*s - largest) * scale);
    }
    let inverse = 1.0 / reduce(scores, 0.0, add, |a, b| a + b);
    for s in scores.iter_mut() {
        *s *= inverse;
    }
}

/// Probabilities of the queries `first..` of one head, one a row of `out`; zero for masked keys. Returns the number of keys that the
/// last query sees, padded to a multiple of four.
fn probabilities(query: Rows<'_>, key: Rows<'_>, first: usize, shape: Shape, out: &mut [f32]) -> usize {
    let stride = shape.stride();
    let count = out.len() / stride;
    let seen = shape.seen(first + count - 1);
    gemm_nt_into(query.slice(first, count), key.slice(0, seen), out, stride);
    let padded = seen.next_multiple_of(4);
    softmax_rows(out, first, padded, shape);
    padded
}

/// Turns the scores of the queries `first..` into probabilities.
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn softmax_rows(scores: &mut [f32], first: usize, padded: usize, shape: Shape) {
    for (i, row) in scores.chunks_exact_mut(shape.stride()).enumerate() {
        let (visible, masked) = row[..padded].split_at_mut(shape.seen(first + i));
        softmax(visible, shape.scale());
        masked.fill(0.0);
    }
}

/// Gradient of the softmax, from that of the probabilities, in place: ds = p (dp - Σ p dp).
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn softmax_backward(probabilities: &[f32], gradients: &mut [f32], shape: Shape) {
    let rows = gradients.chunks_exact_mut(shape.stride()).zip(probabilities.chunks_exact(shape.stride()));
    for (dp, p) in rows {
        let (dp, p) = (&mut dp[..shape.stride()], &p[..shape.stride()]);
        let mean = sum(p.len(), |i| p[i] * dp[i]);
        for (dp, p) in dp.iter_mut().zip(p) {
            *dp = p * (*dp - mean) * shape.scale();
        }
    }
}

/// # Shapes
/// - qkv: `[batch, length, 3 * width]`
/// - output: `[batch, length, width]`
pub(super) fn forward(qkv: &[f32], shape: Shape) -> Vec<f32> {
    let Shape { batch, length, heads, head_dim, .. } = shape;
    let width = shape.width();
    let work = 2 * batch * length * length * width;
    let parts = split(work, batch * heads, 1, |first, count| forward_heads(qkv, shape, first, count));
    let mut out = vec![0.0; batch * length * width];
    for (i, head) in parts.iter().flat_map(|part| part.chunks_exact(length * head_dim)).enumerate() {
        let out = &mut out[i / heads * length * width + shape.offset(0, i % heads)..];
        for (out, row) in out.chunks_mut(width).zip(head.chunks_exact(head_dim)) {
            out[..head_dim].copy_from_slice(row);
        }
    }
    out
}

/// Output of `count` heads from `first` on, counted across items: `[count, length, head_dim]`.
fn forward_heads(qkv: &[f32], shape: Shape, first: usize, count: usize) -> Vec<f32> {
    let Shape { length, heads, head_dim, .. } = shape;
    let stride = shape.stride();
    let mut out = vec![0.0; count * length * head_dim];
    let mut values = shape.columns();
    let mut block = vec![0.0; BLOCK * stride];
    for (i, out) in out.chunks_exact_mut(length * head_dim).enumerate() {
        let (item, head) = ((first + i) / heads, (first + i) % heads);
        let item = &qkv[item * length * 3 * shape.width()..][..length * 3 * shape.width()];
        let [q, k, v] = [0, 1, 2].map(|part| shape.part(item, part, head));
        transpose_into(v, &mut values, stride);
        for first in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - first);
            let block = &mut block[..count * stride];
            let seen = probabilities(q, k, first, shape, block);
            let values = Rows::new(&values, stride, head_dim, seen);
            let out = &mut out[first * head_dim..];
            gemm_nt_into(Rows::new(block, stride, count, seen), values, out, head_dim);
        }
    }
    out
}

/// Gradient of qkv; recomputes the probabilities.
///
/// # Shapes
/// - qkv, output: `[batch, length, 3 * width]`; grad: `[batch, length, width]`
pub(super) fn backward(qkv: &[f32], grad: &[f32], shape: Shape) -> Vec<f32> {
    let (length, width) = (shape.length, shape.width());
    let mut dqkv = vec![0.0; qkv.len()];
    let work = 6 * shape.batch * length * length * width;
    split_mut(work, &mut dqkv, length * 3 * width, 1, |first, dqkv| {
        backward_items(&qkv[first * length * 3 * width..], &grad[first * length * width..], shape, dqkv);
    });
    dqkv
}

/// Gradient of the first items of qkv, as many as `dqkv` has.
fn backward_items(qkv: &[f32], grad: &[f32], shape: Shape, dqkv: &mut [f32]) {
    let (length, width, stride) = (shape.length, shape.width(), shape.stride());
    let [mut queries, mut keys, mut grads] = [(); 3].map(|()| shape.columns());
    let [mut p, mut ds, mut p_columns, mut ds_columns] = [(); 4].map(|()| vec![0.0; length * stride]);
    let items = qkv.chunks_exact(length * 3 * width).zip(grad.chunks_exact(length * width));
    for ((item, grad), ditem) in items.zip(dqkv.chunks_exact_mut(length * 3 * width)) {
        for head in 0..shape.heads {
            let [q, k, v] = [0, 1, 2].map(|part| shape.part(item, part, head));
            let grad = Rows::new(&grad[shape.offset(0, head)..], width, length, shape.head_dim);
            for first in (0..length).step_by(BLOCK) {
                let rows = first * stride..length.min(first + BLOCK) * stride;
                probabilities(q, k, first, shape, &mut p[rows]); // keys beyond a block's last query stay zero
            }
            gemm_nt_into(grad, v, &mut ds, stride);
            softmax_backward(&p, &mut ds, shape);
            let square = |values| Rows::new(values, stride, length, stride);
            transpose_into(q, &mut queries, stride);
            transpose_into(k, &mut keys, stride);
            transpose_into(grad, &mut grads, stride);
            transpose_into(Rows::new(&p, stride, length, length), &mut p_columns, stride);
            transpose_into(Rows::new(&ds, stride, length, length), &mut ds_columns, stride);
            let products = [(&ds, &keys), (&ds_columns, &queries), (&p_columns, &grads)];
            for (part, (left, right)) in products.into_iter().enumerate() {
                let right = Rows::new(right, stride, shape.head_dim, stride);
                let out = &mut ditem[shape.offset(part, head)..];
                gemm_nt_into(square(left), right, out, 3 * width);
            }
        }
    }
}
