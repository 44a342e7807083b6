//! What a device can do, as far as it decides between kernels.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::DispatchDevice;
use burn::backend::wgpu::{CubeTensor, WgpuSetup};
use burn::tensor::Device;

/// Whether the device is a rasterizer that runs on the CPU: four lanes wide, and slow at barriers.
pub(super) fn is_software(tensor: &CubeTensor) -> bool {
    tensor.client.properties().hardware.plane_size_max <= 4
}

/// Facts of a device that a tensor's client does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DeviceState {
    /// Whether it multiplies 16 × 16 matrices of f16 into f32 (tensor cores): see [`super::gemm`].
    #[cfg(not(target_family = "wasm"))]
    pub(super) cooperative_matrices: bool,
    /// Whether each product also runs the kernels for other sizes, so that these get compiled.
    pub(super) compiles_all_tilings: bool,
}

/// The state of each device that has one. There are few.
static STATES: Mutex<Vec<(DispatchDevice, DeviceState)>> = Mutex::new(Vec::new());

fn states() -> MutexGuard<'static, Vec<(DispatchDevice, DeviceState)>> {
    STATES.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn state_of(tensor: &CubeTensor) -> DeviceState {
    let is_its = |device: &DispatchDevice| matches!(device, DispatchDevice::Cube(device) if *device == tensor.device);
    states().iter().find(|(device, _)| is_its(device)).map_or_else(DeviceState::default, |(_, state)| *state)
}

fn update(device: &Device, change: impl FnOnce(&mut DeviceState)) {
    let device = device.clone().inner().as_dispatch().clone();
    let mut states = states();
    if let Some((_, state)) = states.iter_mut().find(|(known, _)| *known == device) {
        change(state);
    } else {
        let mut state = DeviceState::default();
        change(&mut state);
        states.push((device, state));
    }
}

/// Tells the kernels what a GPU can do. Call it once a device, before the first operation.
pub fn register_device(device: &Device, setup: &WgpuSetup) {
    #[cfg(not(target_family = "wasm"))]
    update(device, |state| state.cooperative_matrices = multiplies_f16_fragments(setup));
    // WGSL in browsers has no such matrices
    #[cfg(target_family = "wasm")]
    let _ = (device, setup);
}

/// Name of a GPU's adapter, its address on the PCI bus, and whether it is a rasterizer that runs on the CPU. In browsers JavaScript
/// knows, so this does not.
pub fn adapter_of(setup: &WgpuSetup) -> (String, String, bool) {
    #[cfg(not(target_family = "wasm"))]
    {
        let info = setup.adapter.get_info();
        (info.name, info.device_pci_bus_id, info.device_type == burn::backend::wgpu::wgpu::DeviceType::Cpu)
    }
    #[cfg(target_family = "wasm")]
    {
        let _ = setup;
        (String::new(), String::new(), false)
    }
}

/// Whether a GPU multiplies matrices of [`FRAGMENT`](super::wgsl::gemm::FRAGMENT) in f16 into f32.
#[cfg(not(target_family = "wasm"))]
fn multiplies_f16_fragments(setup: &WgpuSetup) -> bool {
    use burn::backend::wgpu::wgpu::CooperativeScalarType::{F16, F32};
    use burn::backend::wgpu::wgpu::{CooperativeMatrixProperties, Features};
    const SIDE: u32 = super::wgsl::gemm::FRAGMENT as u32;
    let fits = |matrix: CooperativeMatrixProperties| {
        [matrix.m_size, matrix.n_size, matrix.k_size] == [SIDE; 3] && (matrix.ab_type, matrix.cr_type) == (F16, F32)
    };
    let needed = Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16;
    setup.device.features().contains(needed) && setup.adapter.cooperative_matrix_properties().into_iter().any(fits)
}

/// Ends [`compile_all_tilings`] when dropped.
#[must_use = "products compile all tilings until this is dropped"]
#[derive(Debug)]
pub struct CompileAllTilings {
    device: Device,
}

/// Makes each matrix product on `device` run its kernels for all batch sizes, not only for its own, until the returned guard is dropped:
/// a warm-up with one input then compiles the pipelines that large batches use. No effect on the CPU and on software rasterizers.
pub fn compile_all_tilings(device: &Device) -> CompileAllTilings {
    update(device, |state| state.compiles_all_tilings = true);
    CompileAllTilings { device: device.clone() }
}

impl Drop for CompileAllTilings {
    fn drop(&mut self) {
        update(&self.device, |state| state.compiles_all_tilings = false);
    }
}
