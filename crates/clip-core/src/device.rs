//! Opens Burn devices and reads tensors from them; nothing else does.

#[cfg(feature = "cuda")]
mod cuda;

pub use burn::tensor::Device;
#[cfg(feature = "webgpu")]
use burn::tensor::DeviceKind;
#[cfg(all(feature = "webgpu", not(target_family = "wasm")))]
use burn::tensor::DeviceType;
use burn::tensor::{FloatDType, Tensor};

use crate::error::{ClipError, Result};

/// Returns the CPU, with SIMD if the build has it.
pub fn cpu() -> Device {
    Device::flex()
}

/// One of the GPUs of a machine, with its number among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gpu {
    /// The one that the platform prefers.
    #[default]
    Preferred,
    /// A card of its own.
    Discrete(usize),
    /// A GPU that a virtual machine has.
    Virtual(usize),
    /// A part of the processor.
    Integrated(usize),
}

#[cfg(feature = "webgpu")]
impl Gpu {
    fn kind(self) -> DeviceKind {
        match self {
            Self::Preferred => DeviceKind::DefaultDevice,
            Self::Discrete(number) => DeviceKind::DiscreteGpu(number),
            Self::Virtual(number) => DeviceKind::VirtualGpu(number),
            Self::Integrated(number) => DeviceKind::IntegratedGpu(number),
        }
    }
}

/// Lists the GPUs of this machine, the fastest kind first; rasterizers that run on the CPU are none. Empty in a build without WebGPU.
#[cfg(not(target_family = "wasm"))]
pub fn gpus() -> Vec<Gpu> {
    #[cfg(feature = "webgpu")]
    {
        let found = Device::enumerate(DeviceType::Wgpu);
        let of = |kind: fn(usize) -> Gpu| (0..found.len()).map(kind);
        let all = of(Gpu::Discrete).chain(of(Gpu::Virtual)).chain(of(Gpu::Integrated));
        all.filter(|gpu| found.contains(&Device::wgpu(gpu.kind()))).collect()
    }
    #[cfg(not(feature = "webgpu"))]
    Vec::new()
}

/// What a GPU is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its name; empty in browsers.
    pub name: String,
    /// Its address on the PCI bus; empty in browsers, and where a driver does not say it.
    pub bus: String,
    /// Whether it is a rasterizer that runs on the CPU, where that is known: outside of browsers.
    pub is_software: bool,
}

/// Opens the platform's GPU. Call once per process or Wasm instance and keep the device.
///
/// # Errors
/// `device-unavailable` without an adapter, or in a build without WebGPU.
pub async fn webgpu() -> Result<Device> {
    open_webgpu(Gpu::Preferred).await.map(|(device, _)| device)
}

/// As [`webgpu`], but one of the machine's GPUs, and says which it is.
///
/// # Errors
/// As there.
pub async fn open_webgpu(gpu: Gpu) -> Result<(Device, Adapter)> {
    #[cfg(feature = "webgpu")]
    let opened = {
        let options = Device::wgpu_options().device_kind(gpu.kind());
        options.init_with_setup_async().await.map_err(|e| e.to_string()).map(|(device, setup)| {
            clip_kernels::register_device(&device, &setup);
            let (name, bus, is_software) = clip_kernels::adapter_of(&setup);
            (device, Adapter { name, bus, is_software })
        })
    };
    #[cfg(not(feature = "webgpu"))]
    let opened = {
        let _ = gpu;
        Err("this build has no WebGPU".to_owned())
    };
    opened.map_err(|reason| ClipError::DeviceUnavailable { device: "webgpu".into(), reason })
}

/// Opens one of NVIDIA's GPUs through CUDA, by its number among those that the driver shows.
///
/// # Errors
/// `device-unavailable` without the driver or the GPU, and in a build without CUDA; `device-failed` where the driver does not do
/// what Burn needs.
#[cfg(not(target_family = "wasm"))]
pub fn open_cuda(number: usize) -> Result<(Device, Adapter)> {
    #[cfg(feature = "cuda")]
    return cuda::open(number);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = number;
        Err(ClipError::DeviceUnavailable { device: "cuda".into(), reason: "this build has no CUDA".into() })
    }
}

/// Number of NVIDIA's GPUs that the driver shows.
///
/// # Errors
/// `device-unavailable` without the driver or a GPU, and in a build without CUDA.
#[cfg(not(target_family = "wasm"))]
pub fn count_cuda() -> Result<usize> {
    #[cfg(feature = "cuda")]
    return cuda::count();
    #[cfg(not(feature = "cuda"))]
    open_cuda(0).map(|_| 1)
}

/// Whether products in f32 round their operands to TF32, with 10 bits of fraction, as Burn's do on CUDA.
pub(crate) fn rounds_to_tf32(device: &Device) -> bool {
    #[cfg(feature = "cuda")]
    return cuda::is_cuda(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        false
    }
}

/// Bytes that a GPU's allocator has reserved, including those kept for reuse; `None` on the CPU, which has no allocator of its own.
pub fn reserved_bytes(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// Reads a tensor's values, row-major, as f32.
///
/// # Errors
/// `device-failed`.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let failed = |message: String| ClipError::DeviceFailed { message };
    let data = tensor.cast(FloatDType::F32).into_data_async().await.map_err(|e| failed(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))
}

/// Polls a future that never waits, as those of the CPU: for native programs and tests.
///
/// # Panics
/// If the future waits, as a GPU's does.
pub fn block_on_cpu<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        core::task::Poll::Ready(value) => value,
        core::task::Poll::Pending => panic!("the future waits: it is not of the CPU"),
    }
}
