//! The flags of the device and of the model that several commands have.

use std::path::{Path, PathBuf};

use clap::Args;
use clip_core::checkpoint::{LoadOptions, Precision};
use clip_core::device::Device;
use clip_core::model::Towers;

use crate::checkpoint::{Checkpoint, Loaded, OpenOptions, is_state, load_state};
use crate::config::Settings;
use crate::device::{self, DeviceChoice, GpuChoice, OpenDevice};
use crate::exit::Result;
use crate::output::{Output, size};

/// Flags of the device.
#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// auto, cpu, webgpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "DEVICE", value_parser = DeviceChoice::from_name)]
    device: Option<DeviceChoice>,
    /// Number of the GPU, from 0, where there are several
    #[arg(long, value_name = "N")]
    gpu: Option<usize>,
    /// Threads of the CPU [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl DeviceArgs {
    /// Opens the device: where no flag says which, that of the settings.
    ///
    /// # Errors
    /// Those of [`device::open`]; `invalid-option`.
    pub(super) fn open(&self, settings: &Settings) -> Result<OpenDevice> {
        let of_settings = settings.text("device")?.map(DeviceChoice::from_name).transpose()?;
        let number = |name: &str| -> Result<Option<usize>> { Ok(settings.number(name)?.map(|number| number as usize)) };
        let gpu = GpuChoice { number: self.gpu.or(number("gpu")?), ..GpuChoice::default() };
        device::open(self.device.or(of_settings).unwrap_or_default(), self.threads.or(number("threads")?), gpu)
    }
}

/// Flags of a model that encodes, and of its device.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Folder or safetensors file of a checkpoint, or a training state
    pub(super) model: PathBuf,
    /// Type of the weights in memory: auto, f32 or q8
    #[arg(long, default_value = "auto", value_name = "NAME")]
    dtype: String,
    #[command(flatten)]
    device: DeviceArgs,
}

impl ModelArgs {
    /// Loads the model, and says on which device.
    ///
    /// # Errors
    /// Those of [`device::open`] and [`load`]; `invalid-option`.
    pub(super) fn load(&self, towers: Towers, output: &Output) -> Result<Loaded> {
        let opened = self.device.open(&Settings::default())?;
        output.note(&opened.note());
        let options = LoadOptions { precision: Precision::from_name(&self.dtype)?, towers, ..LoadOptions::default() };
        load(&self.model, OpenOptions { load: options, reference: None }, &opened.device, output)
    }
}

/// Loads a checkpoint or the model of a training state, and shows the progress and the warnings.
///
/// # Errors
/// Those of [`Checkpoint::open`], [`Checkpoint::load`] and [`load_state`].
pub(super) fn load(path: &Path, options: OpenOptions, device: &Device, output: &Output) -> Result<Loaded> {
    let loaded = if is_state(path)? {
        load_state(path, options.load, device)?
    } else {
        let checkpoint = Checkpoint::open(path, options, device)?;
        let total = checkpoint.bytes();
        checkpoint.load(&|bytes| {
            output.progress(bytes as usize, total as usize, || format!("reading {} of {}", size(bytes), size(total)));
        })?
    };
    loaded.warnings.iter().for_each(|warning| output.warn(None, warning));
    Ok(loaded)
}
