//! Bindings of clip-core for JavaScript: decode arguments, call, encode the result. No mathematics here.

mod checkpoint;
mod error;
mod images;
mod model;
mod pairs;
#[cfg(feature = "threads")]
mod threads;
mod tokenizer;
mod trainer;

use clip_core::device;
use clip_core::kernels::check::check;
use clip_core::self_test::self_test;
use wasm_bindgen::prelude::*;

use error::{JsResult, js};

unsafe extern "C" {
    /// The linker's: runs what is registered before `main` would.
    safe fn __wasm_call_ctors();
}

/// Runs once, before anything else. Makes a panic say where it happened on the console; the instance is lost all the same.
///
/// CubeCL registers thousands of entries in constructors. Where no one calls them by name, the linker has every call from JavaScript
/// run them all again, which took nine tenths of a training step on WebGPU.
#[wasm_bindgen(start)]
pub fn start() {
    __wasm_call_ctors();
    console_error_panic_hook::set_once();
}

/// Where tensors live and are computed with.
#[wasm_bindgen]
pub struct Device(pub(crate) device::Device);

#[wasm_bindgen]
impl Device {
    /// The CPU with SIMD.
    pub fn cpu() -> Self {
        Self(device::cpu())
    }

    /// The browser's GPU; once per instance of this module.
    pub async fn webgpu() -> JsResult<Self> {
        Ok(Self(js(device::webgpu().await)?))
    }

    /// Computes a tiny model on this device and on the CPU; rejects where they differ.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self) -> JsResult<()> {
        js(self_test(&self.0).await)
    }

    /// Holds the operations that this device does its own way against what the CPU composes of plain ones: for tests.
    #[wasm_bindgen(js_name = checkKernels)]
    pub async fn check_kernels(&self) -> JsResult<()> {
        js(check(&self.0).await)
    }

    /// Bytes that a GPU's allocator holds; nothing on the CPU.
    #[wasm_bindgen(getter, js_name = reservedBytes)]
    pub fn reserved_bytes(&self) -> Option<f64> {
        device::reserved_bytes(&self.0).map(|bytes| bytes as f64)
    }
}
