//! The device that a command computes on.

use std::error::Error;
use std::mem;

use clip_core::device::{Adapter, Device, Gpu, cpu};
use clip_core::{ClipError, device, self_test::self_test};
use rayon::ThreadPoolBuilder;
use serde::Serialize;

use crate::exit::{Failure, Result, above_0};
use crate::ranks::OnMachine;

/// What a program without CUDA lacks.
const BUILD_CUDA: &str = "build the program with it: cargo install --locked --path crates/clip-cli --features cuda";

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The GPU if there is one that computes correctly, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, through Vulkan, Metal or Direct3D 12.
    Webgpu,
    /// NVIDIA's GPU through CUDA, with its number if that was given.
    Cuda(Option<usize>),
}

impl DeviceChoice {
    /// Reads a name: that of a kind, or `cuda:` and a number.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn from_name(name: &str) -> Result<Self> {
        let numbered = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (name, numbered) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("webgpu", _) => Ok(Self::Webgpu),
            ("cuda", _) | (_, Some(_)) => Ok(Self::Cuda(numbered)),
            _ => Err(Failure::option("device", "auto, cpu, webgpu, cuda or cuda:N", name)),
        }
    }
}

/// An open device.
#[derive(Debug, Clone, Serialize)]
pub struct OpenDevice {
    /// `cpu`, `webgpu` or `cuda`.
    pub kind: &'static str,
    /// Why this one.
    pub reason: String,
    /// Threads of the CPU's kernels, and of whatever else runs there.
    pub threads: usize,
    /// Which GPU of the machine: its name and its address; empty for the CPU.
    #[serde(skip)]
    pub gpu: String,
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

/// Which GPU a process takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct GpuChoice {
    /// The number that was asked for.
    pub number: Option<usize>,
    /// Of which process: ranks of one machine share its GPUs out.
    pub of: OnMachine,
}

impl GpuChoice {
    /// Chooses among the GPUs of the machine, those of the fastest kind first.
    ///
    /// # Errors
    /// `device-unavailable` for a number that the machine does not have.
    fn among(self, gpus: impl FnOnce() -> Vec<Gpu>) -> core::result::Result<Gpu, ClipError> {
        if let Some(number) = self.number {
            let gpus = gpus();
            return gpus.get(number).copied().ok_or_else(|| {
                let reason = match gpus.len() {
                    0 => "the machine has no GPU".to_owned(),
                    count => format!("there is no GPU {number}: the machine has {count}, numbered from 0"),
                };
                ClipError::DeviceUnavailable { device: "webgpu".into(), reason }
            });
        }
        if self.of.count < 2 {
            return Ok(Gpu::Preferred);
        }
        let mut gpus = gpus();
        // a slower kind beside them would slow all ranks down
        if let Some(&first) = gpus.first() {
            gpus.retain(|gpu| mem::discriminant(gpu) == mem::discriminant(&first));
        }
        Ok(gpus.get(self.of.index % gpus.len().max(1)).copied().unwrap_or_default())
    }

    /// Chooses among so many GPUs of CUDA's.
    fn among_cuda(self, count: usize) -> usize {
        self.number.unwrap_or(self.of.index % count.max(1))
    }
}

/// Opens a GPU; `auto` takes none that is emulated on the CPU, whose own kernels are faster.
async fn open_gpu(choice: DeviceChoice, gpu: GpuChoice) -> core::result::Result<(Device, String, String), ClipError> {
    let gpu = gpu.among(device::gpus)?;
    let (device, Adapter { name, bus, is_software }) = device::open_webgpu(gpu).await?;
    if is_software && choice == DeviceChoice::Auto {
        let reason = format!("{name} runs on the CPU, whose own kernels are faster");
        return Err(ClipError::DeviceUnavailable { device: "webgpu".into(), reason });
    }
    self_test(&device).await?;
    let which = if bus.is_empty() { format!("{name}, {gpu:?}") } else { format!("{name}, {bus}") };
    Ok((device, format!("{name}; it passed the self-test"), which))
}

/// Opens a GPU through CUDA, which is asked for by name alone: its kernels are Burn's.
fn open_cuda(gpu: GpuChoice) -> core::result::Result<(Device, String, String), ClipError> {
    let number = gpu.among_cuda(device::count_cuda()?);
    let (device, Adapter { name, bus, .. }) = device::open_cuda(number)?;
    pollster::block_on(self_test(&device))?;
    let which = format!("{name}, {bus}");
    Ok((device, format!("{name}; it passed the self-test"), which))
}

/// Opens a device, and as many threads as asked for; `None` for one a core.
///
/// # Errors
/// `device-unavailable`, `device-failed` for a GPU that was asked for; `invalid-option` for no threads, and for the number of a GPU
/// beside the CPU or another number; `unexpected` where the system does not start threads.
pub fn open(choice: DeviceChoice, threads: Option<usize>, gpu: GpuChoice) -> Result<OpenDevice> {
    let (choice, gpu) = match (choice, gpu.number) {
        (DeviceChoice::Cpu, Some(number)) => {
            return Err(Failure::option("gpu", "none beside --device cpu", number));
        }
        (DeviceChoice::Cuda(Some(own)), Some(number)) if own != number => {
            return Err(Failure::option("gpu", &format!("none beside --device cuda:{own}"), number));
        }
        (DeviceChoice::Cuda(own), number) => (choice, GpuChoice { number: own.or(number), ..gpu }),
        (DeviceChoice::Auto, Some(_)) => (DeviceChoice::Webgpu, gpu),
        _ => (choice, gpu),
    };
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
    let on_cpu = |reason: String| OpenDevice { kind: "cpu", reason, threads, gpu: String::new(), device: cpu() };
    if choice == DeviceChoice::Cpu {
        return Ok(on_cpu("as requested".into()));
    }
    let (kind, opened) = match choice {
        DeviceChoice::Cuda(_) => ("cuda", open_cuda(gpu)),
        _ => ("webgpu", pollster::block_on(open_gpu(choice, gpu))),
    };
    match (opened, choice) {
        (Ok((device, reason, gpu)), _) => Ok(OpenDevice { kind, reason, threads, gpu, device }),
        (Err(error), DeviceChoice::Auto) => Ok(on_cpu(error.to_string())),
        (Err(error), _) => {
            let instead = match (choice, gpu.number) {
                (DeviceChoice::Cuda(_), _) if !cfg!(feature = "cuda") => BUILD_CUDA,
                (DeviceChoice::Cuda(_), _) => "--device webgpu takes a GPU through Vulkan, --device cpu the CPU",
                (_, Some(_)) => "without --gpu one is chosen",
                _ => "--device auto falls back to the CPU, --device cpu asks for it",
            };
            Err(Failure::new(error.code(), format!("{error}; {instead}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use Gpu::{Discrete, Integrated, Preferred, Virtual};

    use super::*;

    fn of_ranks(gpus: &[Gpu], count: usize) -> Vec<Gpu> {
        let choice = |index| GpuChoice { number: None, of: OnMachine { index, count } };
        (0..count).map(|index| choice(index).among(|| gpus.to_vec()).unwrap()).collect()
    }

    #[test]
    fn ranks_of_a_machine_share_its_gpus_out() {
        let four = [Discrete(0), Discrete(1), Discrete(2), Discrete(3)];
        assert_eq!(of_ranks(&four, 4), four);
        assert_eq!(of_ranks(&four[..2], 4), [Discrete(0), Discrete(1), Discrete(0), Discrete(1)]);
        // the processor's own is left out beside cards
        assert_eq!(of_ranks(&[Discrete(0), Discrete(1), Integrated(0)], 3), [Discrete(0), Discrete(1), Discrete(0)]);
        assert_eq!(of_ranks(&[Virtual(0), Virtual(1)], 2), [Virtual(0), Virtual(1)]);
        // one process takes what the platform prefers, and so do ranks that find none
        assert_eq!(of_ranks(&four, 1), [Preferred]);
        assert_eq!(of_ranks(&[], 2), [Preferred, Preferred]);
    }

    #[test]
    fn a_gpu_can_be_asked_for() {
        let gpus = || vec![Discrete(0), Discrete(1), Integrated(0)];
        let asked = |number| GpuChoice { number: Some(number), of: OnMachine { index: 1, count: 2 } }.among(gpus);
        assert_eq!((asked(0).unwrap(), asked(2).unwrap()), (Discrete(0), Integrated(0)));
        let error = asked(3).unwrap_err();
        assert_eq!(error.code(), "device-unavailable");
        assert!(error.to_string().contains("there is no GPU 3: the machine has 3"), "{error}");
    }

    #[test]
    fn a_gpu_beside_the_cpu_is_refused() {
        let gpu = GpuChoice { number: Some(0), ..GpuChoice::default() };
        assert_eq!(open(DeviceChoice::Cpu, None, gpu).unwrap_err().code, "invalid-option");
        // this machine may have one, but not so many
        let gpu = GpuChoice { number: Some(1_000), ..GpuChoice::default() };
        assert_eq!(open(DeviceChoice::Auto, None, gpu).unwrap_err().code, "device-unavailable");
    }

    #[test]
    fn cuda_has_a_number() {
        let of = DeviceChoice::from_name;
        assert_eq!(
            (of("cuda").unwrap(), of("cuda:3").unwrap()),
            (DeviceChoice::Cuda(None), DeviceChoice::Cuda(Some(3)))
        );
        for name in ["cuda:", "cuda:x", "cuda:-1", "cuda3", "CUDA", "gpu", "mps", ""] {
            let error = of(name).unwrap_err();
            assert!(error.code == "invalid-option" && error.message.contains("cuda or cuda:N"), "{name}: {error}");
        }
        let ranks = |count| {
            (0..4).map(move |index| GpuChoice { number: None, of: OnMachine { index, count: 4 } }.among_cuda(count))
        };
        assert_eq!((ranks(4).collect::<Vec<_>>(), ranks(2).collect::<Vec<_>>()), (vec![0, 1, 2, 3], vec![0, 1, 0, 1]));
        let gpu = GpuChoice { number: Some(1), ..GpuChoice::default() };
        let error = open(DeviceChoice::Cuda(Some(0)), None, gpu).unwrap_err();
        assert!(error.message.contains("none beside --device cuda:0, got 1"), "{error}");
    }
}
