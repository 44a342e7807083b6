//! GELU (arXiv 1606.08415), exact and in its two approximations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, activation};

use super::{on_cpu, on_wgpu, vec4_aligned};
use crate::dtype::in_f32;

/// `x σ(1.702 x)`: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L166-L168>.
///
/// # Shapes
/// - x, output: `[batch, length, width]`
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Quick)
}

/// `x Φ(x)`.
///
/// # Shapes
/// - x, output: `[batch, length, width]`
pub fn gelu(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Erf)
}

/// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`: PyTorch's `gelu(approximate="tanh")`.
///
/// # Shapes
/// - x, output: `[batch, length, width]`
pub fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    any_gelu(x, Gelu::Tanh)
}

fn any_gelu(x: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    if on_cpu(&x) {
        in_f32(x, |x| fused(x, gelu))
    } else if on_wgpu(&x) && vec4_aligned(&[x.shape().num_elements()]) {
        fused(x, gelu)
    } else {
        in_f32(x, |x| reference(x, gelu))
    }
}

fn fused(x: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_gelu(x.into_dispatch(), gelu))
}

/// Which GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Gelu {
    /// [`quick_gelu`]
    Quick,
    /// [`gelu()`], by the error function
    Erf,
    /// [`gelu_tanh`]
    Tanh,
}

impl Gelu {
    /// Coefficient of [`Self::Quick`].
    pub(crate) const QUICK: f32 = 1.702;
    /// 2 √(2/π), of [`Self::Tanh`]: ½ (1 + tanh u) = σ(2u).
    pub(crate) const TANH: f32 = 1.595_769;
    /// Coefficient of x³ in [`Self::Tanh`].
    pub(crate) const CUBIC: f32 = 0.044_715;
    /// p of the error function's approximation: Abramowitz and Stegun, 7.1.26.
    pub(crate) const ERF_P: f32 = 0.327_591_1;
    /// Its polynomial, a1 to a5.
    pub(crate) const ERF: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    /// 1 / √(2π), of the normal density.
    pub(crate) const DENSITY: f32 = 0.398_942_3;
}

/// The GELUs composed of Burn's operations.
pub(crate) fn reference(x: Tensor<3>, gelu: Gelu) -> Tensor<3> {
    match gelu {
        Gelu::Quick => activation::sigmoid(x.clone() * 1.702) * x,
        Gelu::Erf => activation::gelu(x),
        Gelu::Tanh => activation::gelu_approximate(x),
    }
}

/// A backend's GELUs.
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"), Autodiff: cfg(feature = "train"))]
pub(crate) trait FusedGelu: Backend {
    /// A GELU of each value; f32, on a GPU also f16.
    fn fused_gelu(x: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
}

/// A device's gradient of [`FusedGelu`].
pub(crate) trait FusedGeluBackward: FusedGelu {
    /// Gradient of x.
    fn fused_gelu_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self>;
}

#[cfg(feature = "train")]
mod backward {
    use super::super::autodiff::*;
    use super::{FusedGelu, FusedGeluBackward, Gelu};

    #[derive(Debug)]
    struct GeluBackward;

    impl<B: FusedGeluBackward> Backward<B, 1> for GeluBackward {
        type State = (FloatTensor<B>, Gelu);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, gelu) = ops.state;
            if let [Some(node)] = ops.parents {
                grads.register::<B>(node.id, B::fused_gelu_backward(x, grad, gelu));
            }
        }
    }

    impl<B: FusedGeluBackward, C: CheckpointStrategy> FusedGelu for Autodiff<B, C> {
        fn fused_gelu(x: FloatTensor<Self>, gelu: Gelu) -> FloatTensor<Self> {
            let node = x.node();
            let x = x.into_primitive();
            match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x.clone(), gelu), B::fused_gelu(x, gelu)),
                OpsKind::UnTracked(prep) => prep.finish(B::fused_gelu(x, gelu)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::conformance::{assert_conforms, gelu_cases, values};

    #[test]
    fn the_kernels_equal_the_references() {
        assert_conforms(gelu_cases(&[[1, 1, 1], [2, 3, 7], [1, 5, 64], [3, 17, 33]]));
    }

    #[test]
    fn large_magnitudes_give_zero_or_x() {
        for gelu in [quick_gelu, gelu, gelu_tanh] {
            let x = Tensor::<3>::from_data([[[-1e30f32, -200.0, 0.0, 200.0, 1e30]]], &Device::flex());
            for (got, expected) in values(gelu(x)).into_iter().zip([0.0, 0.0, 0.0, 200.0, 1e30]) {
                assert!((got - expected).abs() < 1e-7, "{got} {expected}");
            }
        }
    }
}
