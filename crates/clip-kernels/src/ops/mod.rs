//! One file an operation, in this order:
//!
//! 1. the public function, which decides whether a kernel takes its arguments,
//! 2. `reference`: the same composed of Burn's operations, for the other arguments and for tests,
//! 3. the traits, as Burn backend extensions, which `crate::cpu` and `crate::gpu` implement,
//! 4. `backward`: the gradient for Burn's autodiff.
//!
//! A trait whose name ends in `Backward` is implemented by devices alone: gradients are not differentiated.

pub(crate) mod adamw;
pub(crate) mod attention;
pub(crate) mod gelu;
pub(crate) mod grad_norm;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod matmul;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Most rows that the GPU's kernels take: workgroups take at least eight each, and WebGPU allows 65,535 workgroups.
const MAX_ROWS: usize = 8 * 65_535;

fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    is_cpu(&x.device())
}

fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether the GPU's kernels take a tensor of this device and type. They are in WGSL, which CUDA does not compile.
fn on_wgpu<const D: usize>(x: &Tensor<D>) -> bool {
    runs_wgsl(&x.device()) && x.dtype() != DType::BF16
}

#[cfg(feature = "webgpu")]
fn runs_wgsl(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(burn::cubecl::Device::Wgpu(_)))
}

#[cfg(not(feature = "webgpu"))]
fn runs_wgsl(_device: &Device) -> bool {
    false
}

/// Whether the GPU can address these dimensions as `vec4`s.
fn vec4_aligned(dims: &[usize]) -> bool {
    dims.iter().all(|dim| dim % 4 == 0)
}

/// Burn's matrix product, or ours in a build that only encodes, whose module does without the code of Burn's.
fn reference_matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if cfg!(feature = "train") { a.matmul(b) } else { matmul::matmul(a, b) }
}

/// Burn's types for an operation with a gradient.
#[cfg(feature = "train")]
mod autodiff {
    pub(super) use burn::backend::Autodiff;
    pub(super) use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
    pub(super) use burn::backend::autodiff::grads::Gradients;
    pub(super) use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    pub(super) use burn::backend::tensor::FloatTensor;
}

#[cfg(test)]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::attention::attention;
    use super::gelu::{gelu_tanh, quick_gelu};
    use super::linear::linear;
    use crate::conformance::{input, values};
    use crate::dtype::to_f32;

    #[test]
    fn half_precision_in_gives_half_precision_out_equal_up_to_rounding() {
        let device = burn::tensor::Device::flex().autodiff();
        let (qkv, weight, bias) =
            (input([2, 9, 3 * 24], 1, &device), input([72, 33], 2, &device), input([33], 3, &device));
        let reference = |qkv| super::attention::reference(qkv, 3, true);
        // bf16 has three bits less
        for (half, tolerance) in [(FloatDType::F16, 4e-3), (FloatDType::BF16, 3.2e-2)] {
            let to_half = |x: Tensor<3>| x.cast(half);
            let halves: [(&str, Tensor<3>, Tensor<3>); 5] = [
                (
                    "linear",
                    linear(to_half(qkv.clone()), weight.clone(), Some(bias.clone())),
                    linear(qkv.clone(), weight.clone(), Some(bias.clone())),
                ),
                ("attention", attention(to_half(qkv.clone()), 3, true), attention(qkv.clone(), 3, true)),
                ("attention's reference", reference(to_half(qkv.clone())), attention(qkv.clone(), 3, true)),
                ("quick_gelu", quick_gelu(to_half(qkv.clone())), quick_gelu(qkv.clone())),
                ("gelu_tanh", gelu_tanh(to_half(qkv.clone() * 100.0)), gelu_tanh(qkv.clone() * 100.0)),
            ];
            for (name, got, full) in halves {
                assert_eq!(got.dtype(), half.into(), "{name}");
                let largest = values(full.clone()).iter().fold(0f32, |m, x| m.max(x.abs()));
                let error = values((to_f32(got) - full).abs()).into_iter().fold(0f32, f32::max);
                assert!(error < tolerance * largest, "{name} in {half:?}: {error} of {largest}");
            }
        }
    }
}
