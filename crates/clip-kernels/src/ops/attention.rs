//! Multi-head self-attention.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, TensorData, activation};

use super::{MAX_ROWS, on_cpu, on_wgpu, reference_matmul, vec4_aligned};
use crate::dtype::{half_of, in_f32, to_f32, to_half};

/// Largest head dimension of the GPU's kernel, which keeps a head in registers.
const MAX_HEAD_DIM: usize = 128;

/// Scaled dot-product attention (arXiv 1706.03762, section 3.2.1) over all heads.
///
/// # Shapes
/// - qkv: `[batch, length, 3 * width]`: query, key and value, each split into `heads`
/// - output: `[batch, length, width]`
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, _, triple] = qkv.dims();
    let head_dim = triple / 3 / heads;
    let gpu_kernel = on_wgpu(&qkv) && vec4_aligned(&[head_dim]) && head_dim <= MAX_HEAD_DIM && batch < MAX_ROWS / 8;
    if on_cpu(&qkv) || gpu_kernel {
        in_f32(qkv, |qkv| Tensor::from_dispatch(Dispatch::fused_attention(qkv.into_dispatch(), heads, causal)))
    } else {
        reference(qkv, heads, causal)
    }
}

/// [`attention`] composed of Burn's operations.
pub(crate) fn reference(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, length, triple] = qkv.dims();
    let (width, head_dim) = (triple / 3, triple / 3 / heads);
    let device = qkv.device();
    let qkv = qkv
        .reshape([batch, length, 3, heads, head_dim]) // [n, l, 3, h, d]
        .permute([2, 0, 3, 1, 4]); // [3, n, h, l, d]
    let part = |i: usize| qkv.clone().narrow(0, i, 1).reshape([batch, heads, length, head_dim]); // [n, h, l, d]
    let scale = (head_dim as f64).powf(-0.5);
    let half = half_of(&qkv);
    let keys = part(1).swap_dims(2, 3); // [n, h, d, l]
    // in f16 the product of unscaled queries could overflow
    let scores = match half {
        Some(_) => to_f32(reference_matmul(part(0) * scale, keys)),
        None => reference_matmul(part(0), keys) * scale,
    }; // [n, h, l, l]
    let scores = if causal {
        let mask: Vec<f32> =
            (0..length * length).map(|i| if i % length > i / length { f32::MIN } else { 0.0 }).collect();
        scores + Tensor::<2>::from_data(TensorData::new(mask, [length, length]), &device).unsqueeze::<4>()
    } else {
        scores
    };
    reference_matmul(to_half(half, activation::softmax(scores, 3)), part(2)) // [n, h, l, d]
        .swap_dims(1, 2) // [n, l, h, d]
        .reshape([batch, length, width]) // [n, l, width]
}

/// A backend's [`attention`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(crate) trait FusedAttention: Backend {
    /// `[batch, length, width]` from `[batch, length, 3 * width]`, in f32.
    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self>;
}

/// A device's gradient of [`FusedAttention`].
pub(crate) trait FusedAttentionBackward: FusedAttention {
    /// Gradient of qkv.
    fn fused_attention_backward(
        qkv: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        heads: usize,
        causal: bool,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "train")]
mod backward {
    use super::super::autodiff::*;
    use super::{FusedAttention, FusedAttentionBackward};

    #[derive(Debug)]
    struct Attention;

    impl<B: FusedAttentionBackward> Backward<B, 1> for Attention {
        /// qkv, heads, causal.
        type State = (FloatTensor<B>, usize, bool);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (qkv, heads, causal) = ops.state;
            if let [Some(node)] = ops.parents {
                grads.register::<B>(node.id, B::fused_attention_backward(qkv, grad, heads, causal));
            }
        }
    }

    impl<B: FusedAttentionBackward, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {
        fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self> {
            let node = qkv.node();
            let qkv = qkv.into_primitive();
            match Attention.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    prep.finish((qkv.clone(), heads, causal), B::fused_attention(qkv, heads, causal))
                }
                OpsKind::UnTracked(prep) => prep.finish(B::fused_attention(qkv, heads, causal)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::conformance::{assert_conforms, attention_cases};

    #[test]
    fn the_kernel_equals_the_reference() {
        assert_conforms(attention_cases(&[[1, 1, 1, 1], [2, 3, 2, 5], [2, 17, 4, 32], [1, 50, 3, 8], [3, 9, 1, 64]]));
    }
}
