//! Bindings of clip-core for JavaScript: decode arguments, call, encode the result. No mathematics here.

#[cfg(feature = "train")]
mod augmenter;
mod checkpoint;
mod error;
mod images;
mod model;
#[cfg(feature = "train")]
mod pairs;
mod probe;
#[cfg(feature = "threads")]
mod threads;
#[cfg(feature = "train")]
mod tokenizer;
#[cfg(feature = "train")]
mod trainer;

use clip_core::device;
use clip_core::self_test::self_test;
use clip_core::tokenizer::Cleaning;
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

    /// Bytes that a GPU's allocator holds; nothing on the CPU.
    #[wasm_bindgen(getter, js_name = reservedBytes)]
    pub fn reserved_bytes(&self) -> Option<f64> {
        device::reserved_bytes(&self.0).map(|bytes| bytes as f64)
    }
}

/// A text as OpenCLIP cleans it before it is tokenized.
#[wasm_bindgen(js_name = cleanText)]
pub fn clean_text(text: &str, cleaning: &str) -> JsResult<String> {
    Ok(js(Cleaning::from_name(cleaning))?.apply(text))
}

/// Compares the device's kernels with their references on the CPU; rejects with the first difference. For tests: published modules do
/// not have it.
#[cfg(feature = "conformance")]
#[wasm_bindgen(js_name = checkKernels)]
pub async fn check_kernels(device: &Device) -> JsResult<()> {
    let failed = |message| clip_core::ClipError::DeviceFailed { message };
    js(clip_kernels::conformance::check(&device.0).await.map_err(failed))
}
