//! Attention of one head at a time, straight from the rows where query, key and value lie side by side: no copies to split
//! or join heads, and the scores of one query at a time. Keys (and, going back, values) are transposed into a scratch panel, so that
//! every inner loop runs over contiguous memory and becomes SIMD.

use super::exp::exp;

/// Shape of the work.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) length: usize,
    heads: usize,
    head_dim: usize,
    causal: bool,
}

impl Shape {
    /// From `[batch, length, 3 * width]`.
    pub(super) fn new(qkv: &[usize], heads: usize, causal: bool) -> Self {
        Self { batch: qkv[0], length: qkv[1], heads, head_dim: qkv[2] / 3 / heads, causal }
    }

    pub(super) fn width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Positions that query `i` sees.
    fn seen(self, i: usize) -> usize {
        if self.causal { i + 1 } else { self.length }
    }

    fn scale(self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }
}

/// `out += factor * row`.
#[inline(always)]
fn add_scaled(out: &mut [f32], factor: f32, row: &[f32]) {
    for (out, x) in out.iter_mut().zip(row) {
        *out += factor * x;
    }
}

/// The part of one head in the rows of one item: `part` 0 is query, 1 key, 2 value.
struct Head<'a> {
    rows: &'a [f32],
    stride: usize,
    offset: usize,
    dim: usize,
}

impl<'a> Head<'a> {
    fn new(rows: &'a [f32], shape: Shape, part: usize, head: usize) -> Self {
        let offset = part * shape.width() + head * shape.head_dim;
        Self { rows, stride: 3 * shape.width(), offset, dim: shape.head_dim }
    }

    #[inline(always)]
    fn row(&self, i: usize) -> &'a [f32] {
        &self.rows[i * self.stride + self.offset..][..self.dim]
    }

    /// `[dim, length]` into `panel`.
    fn transpose_into(&self, panel: &mut [f32], length: usize) {
        for j in 0..length {
            for (c, &x) in self.row(j).iter().enumerate() {
                panel[c * length + j] = x;
            }
        }
    }
}

/// `out[j] = Σ_c row[c] panel[c][j]` for the positions seen.
#[inline(always)]
fn times_panel(out: &mut [f32], row: &[f32], panel: &[f32], length: usize) {
    out.fill(0.0);
    let seen = out.len();
    for (c, &x) in row.iter().enumerate() {
        add_scaled(out, x, &panel[c * length..][..seen]);
    }
}

/// Softmax of `scale * scores`, in place.
#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for s in scores.iter_mut() {
        *s = exp((*s - largest) * scale);
    }
    let total: f32 = scores.iter().sum();
    let inverse = 1.0 / total;
    for s in scores.iter_mut() {
        *s *= inverse;
    }
}

/// # Shapes
/// - qkv: `[batch, length, 3 * width]`
/// - output: `[batch, length, width]`
pub(super) fn forward(qkv: &[f32], shape: Shape) -> Vec<f32> {
    let (length, width, dim) = (shape.length, shape.width(), shape.head_dim);
    let mut out = vec![0.0; shape.batch * length * width];
    let mut keys = vec![0.0; dim * length];
    let mut scores = vec![0.0; length];
    for (item, out) in qkv.chunks_exact(length * 3 * width).zip(out.chunks_exact_mut(length * width)) {
        for h in 0..shape.heads {
            let [q, k, v] = [0, 1, 2].map(|part| Head::new(item, shape, part, h));
            k.transpose_into(&mut keys, length);
            for i in 0..length {
                let scores = &mut scores[..shape.seen(i)];
                times_panel(scores, q.row(i), &keys, length);
                softmax(scores, shape.scale());
                let out = &mut out[i * width + h * dim..][..dim];
                for (j, &p) in scores.iter().enumerate() {
                    add_scaled(out, p, v.row(j));
                }
            }
        }
    }
    out
}

/// Gradient of qkv; the probabilities are computed again rather than kept.
///
/// # Shapes
/// - qkv, output: `[batch, length, 3 * width]`; grad: `[batch, length, width]`
pub(super) fn backward(qkv: &[f32], grad: &[f32], shape: Shape) -> Vec<f32> {
    let (length, width, dim, scale) = (shape.length, shape.width(), shape.head_dim, shape.scale());
    let mut dqkv = vec![0.0; qkv.len()];
    let (mut keys, mut values) = (vec![0.0; dim * length], vec![0.0; dim * length]);
    let (mut scores, mut dscores) = (vec![0.0; length], vec![0.0; length]);
    let stride = 3 * width;
    let items = qkv.chunks_exact(length * stride).zip(grad.chunks_exact(length * width));
    for ((item, grad), ditem) in items.zip(dqkv.chunks_exact_mut(length * stride)) {
        for h in 0..shape.heads {
            let [q, k, v] = [0, 1, 2].map(|part| Head::new(item, shape, part, h));
            k.transpose_into(&mut keys, length);
            v.transpose_into(&mut values, length);
            for i in 0..length {
                let grad = &grad[i * width + h * dim..][..dim];
                let (p, dp) = (&mut scores[..shape.seen(i)], &mut dscores[..shape.seen(i)]);
                times_panel(p, q.row(i), &keys, length);
                softmax(p, scale);
                times_panel(dp, grad, &values, length);
                // through the softmax: ds = p (dp - Σ p dp)
                let mean: f32 = p.iter().zip(dp.iter()).map(|(p, dp)| p * dp).sum();
                for (dp, p) in dp.iter_mut().zip(p.iter()) {
                    *dp = p * (*dp - mean) * scale;
                }
                let at = |part: usize, row: usize| row * stride + part * width + h * dim;
                for (j, (&p, &ds)) in p.iter().zip(dp.iter()).enumerate() {
                    add_scaled(&mut ditem[at(0, i)..][..dim], ds, k.row(j));
                    add_scaled(&mut ditem[at(1, j)..][..dim], ds, q.row(i));
                    add_scaled(&mut ditem[at(2, j)..][..dim], p, grad);
                }
            }
        }
    }
    dqkv
}
