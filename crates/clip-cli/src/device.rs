//! The device that a command computes on.

use std::error::Error;

use clap::ValueEnum;
use clip_core::device::{Adapter, Device, cpu};
use clip_core::{ClipError, device, self_test::self_test};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use crate::exit::{Failure, Result, above_0};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DeviceChoice {
    /// The GPU if there is one that computes correctly, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, through Vulkan, Metal or Direct3D 12.
    Webgpu,
}

impl DeviceChoice {
    /// Reads a name.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn from_name(name: &str) -> Result<Self> {
        <Self as ValueEnum>::from_str(name, false)
            .map_err(|_unknown| Failure::option("device", "auto, cpu or webgpu", name))
    }
}

/// An open device.
#[derive(Debug, Clone, Serialize)]
pub struct OpenDevice {
    /// `cpu` or `webgpu`.
    pub kind: &'static str,
    /// Why this one.
    pub reason: String,
    /// Threads of the CPU's kernels, and of whatever else runs there.
    pub threads: usize,
    /// The device.
    #[serde(skip)]
    pub device: Device,
}

impl OpenDevice {
    /// Which device it is, for people.
    pub fn note(&self) -> String {
        format!("computing on the {} ({}), {} threads", self.kind, self.reason, self.threads)
    }
}

/// Opens the GPU; `auto` takes none that is emulated on the CPU, whose own kernels are faster.
async fn gpu(choice: DeviceChoice) -> core::result::Result<(Device, String), ClipError> {
    let (device, Adapter { name, is_software }) = device::open_webgpu().await?;
    if is_software && choice == DeviceChoice::Auto {
        let reason = format!("{name} runs on the CPU, whose own kernels are faster");
        return Err(ClipError::DeviceUnavailable { device: "webgpu".into(), reason });
    }
    self_test(&device).await?;
    Ok((device, format!("{name}; it passed the self-test")))
}

/// Opens a device, and as many threads as asked for; `None` for one a core.
///
/// # Errors
/// `device-unavailable`, `device-failed` for a GPU that was asked for; `invalid-option` for no threads; `unexpected` where the system
/// does not start them.
pub fn open(choice: DeviceChoice, threads: Option<usize>) -> Result<OpenDevice> {
    let threads = threads.map(|threads| above_0("threads", threads)).transpose()?;
    // 0 means one thread per core. The pool is made once a process; the calling thread is part of it, as it computes a share of each
    // kernel
    let made = ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).use_current_thread().build_global();
    // without a source it says that the pool was made before
    if let Err(error) = made
        && error.source().is_some()
    {
        return Err(Failure::no_threads(error));
    }
    let threads = rayon::current_num_threads();
    let on_cpu = |reason: String| OpenDevice { kind: "cpu", reason, threads, device: cpu() };
    if choice == DeviceChoice::Cpu {
        return Ok(on_cpu("as requested".into()));
    }
    match (pollster::block_on(gpu(choice)), choice) {
        (Ok((device, reason)), _) => Ok(OpenDevice { kind: "webgpu", reason, threads, device }),
        (Err(error), DeviceChoice::Auto) => Ok(on_cpu(error.to_string())),
        (Err(error), _) => Err(Failure::new(
            error.code(),
            format!("{error}; --device auto falls back to the CPU, --device cpu asks for it"),
        )),
    }
}
