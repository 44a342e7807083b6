//! Kernels for the CPU: Burn's `Flex` backend.
//!
//! - [`gemm`], [`gemm_int8`]: products of slices
//! - [`simd`], [`parallel`]: vectors and threads
//! - the others: one operation of [`crate::ops`] each

mod adamw;
mod attention;
mod gelu;
mod gemm;
mod gemm_int8;
mod grad_norm;
mod layer_norm;
mod linear;
mod matmul;
mod parallel;
mod simd;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, TensorData};

/// Whether f32 products use [`gemm`], which is written for Wasm's SIMD. Natively [`gemm::native`] has wider vectors.
pub(crate) const OWN_GEMM: bool = cfg!(target_arch = "wasm32");

/// Calls `f` with a tensor's values in row-major order; copies them only if the tensor is not contiguous.
fn with_values<R>(tensor: &FlexTensor, f: impl FnOnce(&[f32]) -> R) -> R {
    match tensor.as_slice::<f32>() {
        Some(values) => f(values),
        None => f(tensor.to_contiguous().as_slice::<f32>().unwrap_or(&[])),
    }
}

fn tensor_from(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
