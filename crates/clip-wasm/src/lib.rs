//! Bindings of clip-core for JavaScript: they decode arguments, call, and encode the result, without computing anything.

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
mod training_session;

use clip_core::device;
use clip_core::self_test::self_test;
use clip_core::tokenizer::Cleaning;
use wasm_bindgen::prelude::*;

use error::{JsResult, js};

unsafe extern "C" {
    /// Runs the static constructors; provided by the linker.
    safe fn __wasm_call_ctors();
}

/// Runs once, before anything else. Logs panics to the console; they still end the instance.
///
/// CubeCL registers thousands of entries in static constructors. Without this call the linker makes every call from JavaScript run
/// all of them again, which took nine tenths of a training step on WebGPU.
#[wasm_bindgen(start)]
pub fn start() {
    __wasm_call_ctors();
    console_error_panic_hook::set_once();
}

/// Device that stores tensors and computes with them.
#[wasm_bindgen]
pub struct Device(pub(crate) device::Device);

#[wasm_bindgen]
impl Device {
    /// The CPU with SIMD.
    pub fn cpu() -> Self {
        Self(device::cpu())
    }

    /// Opens the browser's GPU; once per instance of this module.
    pub async fn webgpu() -> JsResult<Self> {
        Ok(Self(js(device::webgpu().await)?))
    }

    /// Computes a tiny model on this device and on the CPU; rejects if they differ.
    #[wasm_bindgen(js_name = selfTest)]
    pub async fn self_test(&self) -> JsResult<()> {
        js(self_test(&self.0).await)
    }

    /// Bytes that a GPU's allocator has reserved; undefined on the CPU.
    #[wasm_bindgen(getter, js_name = reservedBytes)]
    pub fn reserved_bytes(&self) -> Option<f64> {
        device::reserved_bytes(&self.0).map(|bytes| bytes as f64)
    }
}

/// Cleans a text as OpenCLIP does before tokenization.
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
