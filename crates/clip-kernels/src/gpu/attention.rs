//! Attention and its gradient.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::device::is_software;
use super::launch::{empty, launch};
use super::wgsl::attention::{Attention, Pass, WORKGROUP_SIZE};
use crate::ops::attention::{FusedAttention, FusedAttentionBackward};

impl FusedAttention for Cube {
    fn fused_attention(qkv: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
        let qkv = into_contiguous(qkv);
        let shape = Shape::new(&qkv, heads, causal);
        let out = empty(&qkv, [shape.batch, shape.length, shape.width]);
        shape.launch(Pass::Forward, &[&qkv], &[&out]);
        out
    }
}

impl FusedAttentionBackward for Cube {
    fn fused_attention_backward(qkv: CubeTensor, grad: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
        let (qkv, grad) = (into_contiguous(qkv), into_contiguous(grad));
        let shape = Shape::new(&qkv, heads, causal);
        let dqkv = empty(&qkv, qkv.meta.shape().clone());
        let statistics = empty(&qkv, [shape.batch, shape.heads, shape.length, 2]);
        shape.launch(Pass::Queries, &[&qkv, &grad], &[&dqkv, &statistics]);
        shape.launch(Pass::Keys, &[&qkv, &grad, &statistics], &[&dqkv]);
        dqkv
    }
}

struct Shape {
    batch: usize,
    length: usize,
    width: usize,
    heads: usize,
    causal: bool,
}

impl Shape {
    /// From `[batch, length, 3 * width]`.
    fn new(qkv: &CubeTensor, heads: usize, causal: bool) -> Self {
        let shape = qkv.meta.shape();
        Self { batch: shape[0], length: shape[1], width: shape[2] / 3, heads, causal }
    }

    fn launch(&self, pass: Pass, inputs: &[&CubeTensor], outputs: &[&CubeTensor]) {
        let shader = Attention::new(pass, self.causal, self.width / self.heads, is_software(inputs[0]));
        let workgroups = [self.length.div_ceil(WORKGROUP_SIZE as usize), self.heads, self.batch];
        launch(shader, inputs, outputs, &[self.length, self.width, self.heads], workgroups);
    }
}
