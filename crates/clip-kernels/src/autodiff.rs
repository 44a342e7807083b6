//! How autodiff goes back through the fused operations.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, QuantizedTensor};

use super::fused::{AdamWRates, FusedOps, Gelu};

impl<B: FusedOps, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Linear;

        impl<B: FusedOps> Backward<B, 3> for Linear {
            type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight) = ops.state;
                let [of_x, of_weight, of_bias] = ops.parents;
                if let (Some(parent), Some(weight)) = (of_x, weight) {
                    grads.register::<B>(parent.id, B::fused_linear_backward_x(weight, grad.clone()));
                }
                if let (Some(parent), Some(x)) = (of_weight, x) {
                    grads.register::<B>(parent.id, B::fused_linear_backward_weight(x, grad.clone()));
                }
                if let Some(parent) = of_bias {
                    grads.register::<B>(parent.id, B::fused_linear_backward_bias(grad));
                }
            }
        }

        // each is kept only where the other learns
        let kept = [weight.is_tracked(), x.is_tracked()];
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (kept[0].then(|| x.clone()), kept[1].then(|| weight.clone()));
                prep.finish(state, B::fused_linear(x, weight, bias))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_linear(x, weight, bias)),
        }
    }

    fn fused_linear_int8(
        _x: FloatTensor<Self>,
        _weight: QuantizedTensor<Self>,
        _bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("what learns is widened")
    }

    fn fused_matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    fn fused_linear_backward_x(_weight: FloatTensor<Self>, _grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_linear_backward_weight(_x: FloatTensor<Self>, _grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_linear_backward_bias(_grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_gelu(x: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GeluBackward;

        impl<B: FusedOps> Backward<B, 1> for GeluBackward {
            type State = (FloatTensor<B>, Gelu);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, gelu) = ops.state;
                if let [Some(parent)] = ops.parents {
                    grads.register::<B>(parent.id, B::fused_gelu_backward(x, grad, gelu));
                }
            }
        }

        let node = x.node();
        let x = x.into_primitive();
        match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), gelu), B::fused_gelu(x, gelu)),
            OpsKind::UnTracked(prep) => prep.finish(B::fused_gelu(x, gelu)),
        }
    }

    fn fused_gelu_backward(_x: FloatTensor<Self>, _grad: FloatTensor<Self>, _gelu: Gelu) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LayerNorm;

        impl<B: FusedOps> Backward<B, 3> for LayerNorm {
            type State = (FloatTensor<B>, FloatTensor<B>, f32);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight, eps) = ops.state;
                let (dx, dweight, dbias) = B::fused_layer_norm_backward(x, weight, grad, eps);
                for (parent, grad) in ops.parents.into_iter().zip([dx, dweight, dbias]) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, grad);
                    }
                }
            }
        }

        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match LayerNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (x.clone(), weight.clone(), eps);
                prep.finish(state, B::fused_layer_norm(x, weight, bias, eps))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_layer_norm(x, weight, bias, eps)),
        }
    }

    fn fused_layer_norm_backward(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients are not differentiated")
    }

    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Attention;

        impl<B: FusedOps> Backward<B, 1> for Attention {
            type State = (FloatTensor<B>, usize, bool);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (qkv, heads, causal) = ops.state;
                if let [Some(parent)] = ops.parents {
                    grads.register::<B>(parent.id, B::fused_attention_backward(qkv, grad, heads, causal));
                }
            }
        }

        let node = qkv.node();
        let qkv = qkv.into_primitive();
        match Attention.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((qkv.clone(), heads, causal), B::fused_attention(qkv, heads, causal)),
            OpsKind::UnTracked(prep) => prep.finish(B::fused_attention(qkv, heads, causal)),
        }
    }

    fn fused_attention_backward(
        _qkv: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _heads: usize,
        _causal: bool,
    ) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_adamw(
        _value: FloatTensor<Self>,
        _gradient: FloatTensor<Self>,
        _first: FloatTensor<Self>,
        _second: FloatTensor<Self>,
        _rates: AdamWRates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("a step is not differentiated")
    }

    fn fused_add_squares(_sums: FloatTensor<Self>, _x: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }
}
