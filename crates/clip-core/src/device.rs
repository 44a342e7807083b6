//! The one place that picks a Burn device and reads from it.

pub use burn::tensor::Device;
use burn::tensor::{FloatDType, Tensor};

use crate::error::{ClipError, Result};

/// The CPU, with SIMD where the build has it.
pub fn cpu() -> Device {
    Device::flex()
}

/// The platform's GPU. Call once per process or Wasm instance and keep what it returns.
///
/// # Errors
/// `device-unavailable` without an adapter, and in a build for the CPU alone.
pub async fn webgpu() -> Result<Device> {
    #[cfg(feature = "webgpu")]
    let device =
        Device::wgpu_options().init_with_setup_async().await.map_err(|e| e.to_string()).map(|(device, setup)| {
            clip_kernels::register_device(&device, &setup);
            device
        });
    #[cfg(not(feature = "webgpu"))]
    let device = Err("expected a build with WebGPU, got one for the CPU alone".to_owned());
    device.map_err(|reason| ClipError::DeviceUnavailable { device: "webgpu".into(), reason })
}

/// Bytes that a GPU's allocator holds, those kept for reuse included; nothing on the CPU, whose memory is the process's.
pub fn reserved_bytes(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// Values of a tensor, row-major.
///
/// # Errors
/// `device-failed`.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |message: String| ClipError::DeviceFailed { message };
    let data = tensor.cast(FloatDType::F32).into_data_async().await.map_err(|e| failed(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))
}

/// Awaits what never waits on the CPU: for native programs and tests.
///
/// # Panics
/// Where the future waits, as a GPU's does.
pub fn block_on_cpu<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        core::task::Poll::Ready(value) => value,
        core::task::Poll::Pending => panic!("expected the CPU's answer at once, got a wait"),
    }
}
