//! The operations that take most of a CLIP model's time, as kernels for the CPU and the GPU.
//!
//! - `ops`: one file an operation: the public function, the backend trait, the reference in Burn's operations, the gradient
//! - `cpu`: kernels in SIMD, on threads where the build has them
//! - `gpu`: kernels in WGSL
//! - `dtype`: casts and 8-bit weights
//! - `conformance`: compares a device's kernels with the references, in tests

#![cfg_attr(
    not(feature = "train"),
    allow(dead_code, reason = "a build that only encodes never calls the backward passes")
)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod cpu;
mod dtype;
#[cfg(any(test, feature = "webgpu"))]
mod gpu;
mod ops;

pub use dtype::{is_quantized, quantize, to_f32, weight_dims};
#[cfg(feature = "webgpu")]
pub use gpu::device::{CompileAllTilings, adapter_of, compile_all_tilings, register_device};
pub use ops::adamw::{AdamWRates, adamw};
pub use ops::attention::attention;
pub use ops::gelu::{gelu, gelu_tanh, quick_gelu};
pub use ops::grad_norm::{add_sum_of_squares, zero_sums_of_squares};
pub use ops::layer_norm::layer_norm;
pub use ops::linear::{linear, to_weight_layout, wants_k_contiguous};
pub use ops::matmul::matmul;
