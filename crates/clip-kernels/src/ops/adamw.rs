//! One step of AdamW.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};

use super::{on_cpu, on_wgpu, vec4_aligned};

/// Scalars of one step of AdamW.
#[derive(Debug, Clone, Copy)]
pub struct AdamWRates {
    /// Multiplies the gradient before anything else.
    pub gradient_scale: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// 1 - beta 1, computed in double precision.
    pub one_minus_beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// 1 - beta 2, computed in double precision.
    pub one_minus_beta_2: f32,
    /// Learning rate divided by the first moment's bias correction, 1 - beta 1ᵗ.
    pub step_size: f32,
    /// Square root of the second moment's bias correction, 1 - beta 2ᵗ.
    pub bias_correction_2_sqrt: f32,
    /// Added to the denominator.
    pub epsilon: f32,
    /// Multiplies the value: 1 - learning rate × weight decay.
    pub decay_factor: f32,
}

#[cfg(any(test, feature = "conformance"))]
impl AdamWRates {
    /// A step that no rate leaves out.
    pub(crate) const EXAMPLE: Self = Self {
        gradient_scale: 0.5,
        beta_1: 0.9,
        one_minus_beta_1: 0.1,
        beta_2: 0.98,
        one_minus_beta_2: 0.02,
        step_size: 1e-2,
        bias_correction_2_sqrt: 0.25,
        epsilon: 1e-6,
        decay_factor: 0.999,
    };
}

/// One step of AdamW (arXiv 1711.05101), in the order of operations of `torch.optim.AdamW`.
///
/// # Shapes
/// - tensors: value, gradient, first and second moment, untracked, of one shape
/// - output: value and both moments after the step
pub fn adamw<const D: usize>(tensors: [Tensor<D>; 4], rates: AdamWRates) -> [Tensor<D>; 3] {
    let value = &tensors[0];
    let has_kernel = on_cpu(value) || on_wgpu(value) && vec4_aligned(&[value.shape().num_elements()]);
    if has_kernel && tensors.iter().all(|tensor| tensor.dtype() == DType::F32) {
        let [value, gradient, first, second] = tensors.map(Tensor::into_dispatch);
        let (value, first, second) = Dispatch::fused_adamw(value, gradient, first, second, rates);
        [value, first, second].map(Tensor::from_dispatch)
    } else {
        reference(tensors, rates)
    }
}

/// [`adamw`] composed of Burn's operations.
pub(crate) fn reference<const D: usize>(
    [value, gradient, first, second]: [Tensor<D>; 4],
    rates: AdamWRates,
) -> [Tensor<D>; 3] {
    let gradient = gradient * rates.gradient_scale;
    let first = first * rates.beta_1 + gradient.clone() * rates.one_minus_beta_1;
    let second = second * rates.beta_2 + gradient.square() * rates.one_minus_beta_2;
    let denominator = second.clone().sqrt() / rates.bias_correction_2_sqrt + rates.epsilon;
    [value * rates.decay_factor - first.clone() * rates.step_size / denominator, first, second]
}

/// A device's [`adamw`].
#[backend_extension(Flex, Cube: cfg(feature = "webgpu"))]
pub(crate) trait FusedAdamW: Backend {
    /// Value and both moments after a step, from value, gradient and both moments.
    fn fused_adamw(
        value: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rates: AdamWRates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}
