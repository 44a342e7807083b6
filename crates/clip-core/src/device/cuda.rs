//! NVIDIA's GPUs through CUDA. The driver is asked first: where something is missing, Burn panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::backend::DispatchDevice;
use burn::cubecl;
use burn::tensor::{Device, Tensor};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{DriverError, result};

use super::Adapter;
use crate::error::{ClipError, Result};

fn unavailable(reason: impl Into<String>) -> ClipError {
    ClipError::DeviceUnavailable { device: "cuda".into(), reason: reason.into() }
}

/// What an error of the driver's start means, and what to do.
fn explain(DriverError(code): DriverError) -> String {
    let meaning = match code {
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "the driver finds no GPU; CUDA_VISIBLE_DEVICES hides those that it does not name"
        }
        CUresult::CUDA_ERROR_INVALID_DEVICE => "the driver does not know the GPU that CUDA_VISIBLE_DEVICES names",
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "the library found is the CUDA toolkit's stub of the driver: take its folder out of LD_LIBRARY_PATH"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver's library and its kernel module have different versions: restart after an update of the driver, \
             and give a container the libraries of its host"
        }
        CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            "the library is of a CUDA version that this GPU needs a newer driver for (cuda-compat): update the driver"
        }
        CUresult::CUDA_ERROR_SYSTEM_NOT_READY => {
            "the system is not ready: a machine with NVSwitch needs its fabric manager running"
        }
        CUresult::CUDA_ERROR_OPERATING_SYSTEM => {
            "the operating system denies access: a container must be started with GPUs"
        }
        CUresult::CUDA_ERROR_UNKNOWN => {
            "the driver does not say why; its kernel module may not be loaded: nvidia-smi says more"
        }
        _ => "the driver does not start: nvidia-smi says more",
    };
    format!("{meaning} ({code:?})")
}

/// Number of GPUs.
pub(super) fn count() -> Result<usize> {
    // SAFETY: loads the driver's library, as any program that uses CUDA does
    if !unsafe { sys::is_culib_present() } {
        return Err(unavailable("NVIDIA's driver is not installed: there is no libcuda.so.1 (on Windows nvcuda.dll)"));
    }
    let started = result::init().and_then(|()| result::device::get_count());
    match started.map_err(|error| unavailable(explain(error)))? {
        count if count > 0 => Ok(count as usize),
        _ => Err(unavailable(explain(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)))),
    }
}

/// CUDA version of the driver, as `12.8`.
fn driver_version() -> String {
    let mut version = 0;
    // SAFETY: writes to a number that outlives the call
    let found = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
    found.map_or_else(|_| "unknown".into(), |()| format!("{}.{}", version / 1000, version % 1000 / 10))
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason was given")
}

pub(super) fn open(number: usize) -> Result<(Device, Adapter)> {
    let count = count()?;
    if number >= count {
        return Err(unavailable(format!("there is no GPU {number}: the driver shows {count}, numbered from 0")));
    }
    let start = || {
        let device = Device::cuda(number);
        // waits for the device, whose panics are seen only then
        let one = Tensor::<1>::ones([1], &device).into_data();
        (one.num_elements() == 1).then(|| (device.identity(), device))
    };
    // Burn panics where the driver is too old for it
    let version = driver_version();
    let failed = |why: &str| ClipError::DeviceFailed { message: format!("CUDA {version} of the driver: {why}") };
    let started = catch_unwind(AssertUnwindSafe(start)).map_err(|panic| failed(text(&*panic)))?;
    let (identity, device) = started.ok_or_else(|| failed("a tensor cannot be read back"))?;
    let bus = identity.as_ref().and_then(|identity| identity.physical.as_ref()?.pci_address);
    let name = identity.map_or_else(|| "NVIDIA GPU".into(), |identity| identity.name.to_string());
    let bus = bus.map_or_else(|| format!("number {number}"), |bus| bus.to_string());
    Ok((device, Adapter { name: format!("{name}, CUDA {version}"), bus, is_software: false }))
}

pub(super) fn is_cuda(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(cubecl::Device::Cuda(_)))
}
