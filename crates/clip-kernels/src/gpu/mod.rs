//! Kernels for the GPU: WGSL for Burn's `Cube` backend on wgpu.
//!
//! - [`wgsl`]: the shaders' text, which does not depend on Burn; `cargo test` validates each variant
//! - [`launch`], [`device`]: launches, and what the device can do
//! - [`gemm`]: products of matrices; the others: one operation of [`crate::ops`] each

mod wgsl;

#[cfg(feature = "webgpu")]
mod adamw;
#[cfg(feature = "webgpu")]
mod attention;
#[cfg(feature = "webgpu")]
pub(crate) mod device;
#[cfg(feature = "webgpu")]
mod gelu;
#[cfg(feature = "webgpu")]
mod gemm;
#[cfg(feature = "webgpu")]
mod grad_norm;
#[cfg(feature = "webgpu")]
mod launch;
#[cfg(feature = "webgpu")]
mod layer_norm;
#[cfg(feature = "webgpu")]
mod linear;
#[cfg(feature = "webgpu")]
mod matmul;
#[cfg(feature = "webgpu")]
mod sum_rows;
