//! The extension: what Flex computes, and how autodiff goes back through it.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::{attention, layer_norm, linear, quick_gelu};

/// Fused operations; each `*_backward` takes the inputs again and the gradient of the output.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOps: Backend {
    /// `x W + b` of `[n, in]`, `[in, out]` and `[out]`.
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_linear_backward_x(weight: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the weight.
    fn fused_linear_backward_weight(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the bias.
    fn fused_linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// `x * sigmoid(1.702 x)`.
    fn fused_quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_quick_gelu_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Layer norm over the last dimension.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
    /// Gradients of x, weight and bias.
    fn fused_layer_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
    /// Attention of `[batch, length, 3 * width]`.
    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self>;
    /// Gradient of qkv.
    fn fused_attention_backward(
        qkv: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        heads: usize,
        causal: bool,
    ) -> FloatTensor<Self>;
}

/// Values of a tensor in row-major order, copied only where they are not so already.
fn values<R>(tensor: &FlexTensor, use_values: impl FnOnce(&[f32]) -> R) -> R {
    match tensor.as_slice::<f32>() {
        Some(values) => use_values(values),
        None => use_values(tensor.to_contiguous().as_slice::<f32>().unwrap_or(&[])),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

impl FusedOps for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear::forward(x, weight, bias)
    }

    fn fused_linear_backward_x(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        linear::backward_x(weight, grad)
    }

    fn fused_linear_backward_weight(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        linear::backward_weight(x, grad)
    }

    fn fused_linear_backward_bias(grad: FlexTensor) -> FlexTensor {
        linear::backward_bias(grad)
    }

    fn fused_quick_gelu(x: FlexTensor) -> FlexTensor {
        tensor(values(&x, quick_gelu::forward), x.shape())
    }

    fn fused_quick_gelu_backward(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        tensor(values(&x, |x_| values(&grad, |grad| quick_gelu::backward(x_, grad))), x.shape())
    }

    fn fused_layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        let y =
            values(&x, |x| values(&weight, |weight| values(&bias, |bias| layer_norm::forward(x, weight, bias, eps))));
        tensor(y, x.shape())
    }

    fn fused_layer_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (dx, dweight, dbias) =
            values(&x, |x| values(&weight, |weight| values(&grad, |grad| layer_norm::backward(x, weight, grad, eps))));
        (tensor(dx, x.shape()), tensor(dweight, weight.shape()), tensor(dbias, weight.shape()))
    }

    fn fused_attention(qkv: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = attention::Shape::new(&qkv.shape(), heads, causal);
        tensor(values(&qkv, |qkv| attention::forward(qkv, shape)), [shape.batch, shape.length, shape.width()])
    }

    fn fused_attention_backward(qkv: FlexTensor, grad: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = attention::Shape::new(&qkv.shape(), heads, causal);
        tensor(values(&qkv, |qkv| values(&grad, |grad| attention::backward(qkv, grad, shape))), qkv.shape())
    }
}

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

    fn fused_linear_backward_x(_weight: FloatTensor<Self>, _grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_linear_backward_weight(_x: FloatTensor<Self>, _grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_linear_backward_bias(_grad: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated")
    }

    fn fused_quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct QuickGelu;

        impl<B: FusedOps> Backward<B, 1> for QuickGelu {
            type State = FloatTensor<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                if let [Some(x)] = ops.parents {
                    grads.register::<B>(x.id, B::fused_quick_gelu_backward(ops.state, grad));
                }
            }
        }

        let node = x.node();
        let x = x.into_primitive();
        match QuickGelu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::fused_quick_gelu(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::fused_quick_gelu(x)),
        }
    }

    fn fused_quick_gelu_backward(_x: FloatTensor<Self>, _grad: FloatTensor<Self>) -> FloatTensor<Self> {
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
}
