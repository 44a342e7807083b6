//! The fused operations, joined to Burn as a backend extension: what a device computes is in [`super::cpu`] and `super::gpu`,
//! and autodiff goes back through them here.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, QuantizedTensor};
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// See [`super::linear`]; x is f32, the weight that or, on the CPU, f16.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(x, weight, bias))
}

/// See [`super::linear`], of a weight as [`super::int8`] keeps it, and nothing tracked.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn linear_int8(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear_int8(x, weight, bias))
}

/// See [`super::layer_norm`].
pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_layer_norm(x, weight, bias, eps as f32))
}

/// See [`super::gelu`] and its like.
pub(super) fn gelu(x: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_gelu(x.into_dispatch(), gelu))
}

/// Which GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Gelu {
    /// `x σ(1.702 x)`
    Quick,
    /// `x Φ(x)`
    Erf,
    /// Its approximation by tanh.
    Tanh,
}

impl Gelu {
    /// Of [`Self::Quick`].
    pub(super) const QUICK: f32 = 1.702;
    /// 2 √(2/π), of [`Self::Tanh`].
    pub(super) const TANH: f32 = 1.595_769;
    /// Of [`Self::Tanh`].
    pub(super) const CUBIC: f32 = 0.044_715;
    /// The error function by Abramowitz and Stegun, 7.1.26.
    pub(super) const ERF_T: f32 = 0.327_591_1;
    /// Its polynomial, lowest power first.
    pub(super) const ERF: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    /// 1 / √(2π), the normal density's.
    pub(super) const DENSITY: f32 = 0.398_942_3;
}

/// See [`super::attention`].
pub(super) fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_attention(qkv.into_dispatch(), heads, causal))
}

/// See [`super::adamw`].
pub(super) fn adamw<const D: usize>(
    [value, gradient, first, second]: [Tensor<D>; 4],
    rates: AdamWRates,
) -> [Tensor<D>; 3] {
    let (value, gradient) = (value.into_dispatch(), gradient.into_dispatch());
    let (value, first, second) =
        Dispatch::fused_adamw(value, gradient, first.into_dispatch(), second.into_dispatch(), rates);
    [value, first, second].map(Tensor::from_dispatch)
}

/// What a step of AdamW multiplies by.
#[derive(Debug, Clone, Copy)]
pub struct AdamWRates {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// One less it: what the gradient adds.
    pub new_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// One less it.
    pub new_2: f32,
    /// Learning rate over the first moment's correction.
    pub rate: f32,
    /// Root of the second moment's correction, which divides.
    pub correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// What weight decay leaves of the value.
    pub kept: f32,
}

/// Fused operations; each `*_backward` takes the inputs again and the gradient of the output.
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff)]
pub(super) trait FusedOps: Backend {
    /// `x W + b` of `[n, in]`, `[in, out]` and `[out]`.
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The same of integers, `[out, in]`.
    fn fused_linear_int8(
        x: FloatTensor<Self>,
        weight: QuantizedTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_linear_backward_x(weight: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the weight.
    fn fused_linear_backward_weight(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Gradient of the bias.
    fn fused_linear_backward_bias(grad: FloatTensor<Self>) -> FloatTensor<Self>;
    /// A GELU.
    fn fused_gelu(x: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
    /// Gradient of x.
    fn fused_gelu_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
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
    /// Value and both moments after a step, from value, gradient and both moments.
    fn fused_adamw(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rates: AdamWRates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
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

    fn fused_linear_int8(
        _x: FloatTensor<Self>,
        _weight: QuantizedTensor<Self>,
        _bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("what learns is widened")
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
}
