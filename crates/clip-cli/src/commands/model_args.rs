//! The flags of the device and of the model that several commands have.

use std::path::{Path, PathBuf};

use clap::Args;
use clip_core::checkpoint::{LoadOptions, Precision};
use clip_core::device::Device;
use clip_core::model::Towers;

use crate::checkpoint::{Checkpoint, Loaded, OpenOptions};
use crate::device::{self, DeviceChoice, OpenDevice};
use crate::exit::Result;
use crate::output::{Output, size};

/// Flags of the device.
#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceChoice,
    /// Threads of the CPU [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl DeviceArgs {
    /// Opens the device.
    ///
    /// # Errors
    /// Those of [`device::open`].
    pub(super) fn open(&self) -> Result<OpenDevice> {
        device::open(self.device, self.threads)
    }
}

/// Flags of a model that encodes, and of its device.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Folder or safetensors file of a checkpoint
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
        let opened = self.device.open()?;
        output.note(&opened.note());
        let options = LoadOptions { precision: Precision::from_name(&self.dtype)?, towers, ..LoadOptions::default() };
        load(&self.model, OpenOptions { load: options, reference: None }, &opened.device, output)
    }
}

/// Loads a checkpoint, and shows the progress and the warnings.
///
/// # Errors
/// Those of [`Checkpoint::open`] and [`Checkpoint::load`].
pub(super) fn load(path: &Path, options: OpenOptions, device: &Device, output: &Output) -> Result<Loaded> {
    let checkpoint = Checkpoint::open(path, options, device)?;
    let total = checkpoint.bytes();
    let loaded = checkpoint.load(&|bytes| {
        output.progress(bytes as usize, total as usize, || format!("reading {} of {}", size(bytes), size(total)));
    })?;
    loaded.warnings.iter().for_each(|warning| output.warn(None, warning));
    Ok(loaded)
}
