//! Layer normalization over the last dimension.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, module};

use super::{on_cpu, on_wgpu, vec4_aligned};

/// Layer normalization over the last dimension (arXiv 1607.06450), with biased variance as in PyTorch.
///
/// # Shapes
/// - x: `[.., width]`; weight, bias: `[width]`
/// - output: as x
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    if on_cpu(&x) || on_wgpu(&x) && vec4_aligned(&x.dims()[D - 1..]) {
        let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
        Tensor::from_dispatch(Dispatch::fused_layer_norm(x, weight, bias, eps as f32))
    } else {
        reference(x, weight, bias, eps)
    }
}

/// [`layer_norm`] composed of Burn's operations.
pub(crate) fn reference<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    module::layer_norm(x, weight, Some(bias), eps)
}

/// A backend's [`layer_norm`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(crate) trait FusedLayerNorm: Backend {
    /// Layer norm of `[.., width]` by `[width]` and `[width]`.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
}

/// A device's gradient of [`FusedLayerNorm`].
pub(crate) trait FusedLayerNormBackward: FusedLayerNorm {
    /// Gradients of x, weight and bias.
    fn fused_layer_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

#[cfg(feature = "train")]
mod backward {
    use super::super::autodiff::*;
    use super::{FusedLayerNorm, FusedLayerNormBackward};

    #[derive(Debug)]
    struct LayerNorm;

    impl<B: FusedLayerNormBackward> Backward<B, 3> for LayerNorm {
        /// x, weight and eps.
        type State = (FloatTensor<B>, FloatTensor<B>, f32);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, weight, eps) = ops.state;
            let (dx, dweight, dbias) = B::fused_layer_norm_backward(x, weight, grad, eps);
            for (node, grad) in ops.parents.into_iter().zip([dx, dweight, dbias]) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, grad);
                }
            }
        }
    }

    impl<B: FusedLayerNormBackward, C: CheckpointStrategy> FusedLayerNorm for Autodiff<B, C> {
        fn fused_layer_norm(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            eps: f32,
        ) -> FloatTensor<Self> {
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
    }
}

#[cfg(test)]
mod tests {
    use crate::conformance::{assert_conforms, layer_norm_cases};

    #[test]
    fn the_kernel_equals_the_reference() {
        assert_conforms(layer_norm_cases(&[[1, 1, 1], [2, 3, 7], [1, 5, 64], [3, 17, 33]]));
    }
}
