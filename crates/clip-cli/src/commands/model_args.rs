//! The flags of the device and of the model that several commands have.

use std::path::PathBuf;

use clap::Args;
use clip_core::checkpoint::{LoadOptions, Precision};
use clip_core::model::Towers;

use crate::checkpoint::{Checkpoint, Loaded, OpenOptions};
use crate::device::{self, DeviceChoice, OpenDevice};
use crate::exit::Result;
use crate::output::Output;

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
    /// Loads the model, and says on which device and with which warnings. Returns the number of threads, too.
    ///
    /// # Errors
    /// Those of [`device::open`] and [`Checkpoint::open`]; `invalid-option`.
    pub(super) fn load(&self, towers: Towers, output: &Output) -> Result<(Loaded, usize)> {
        let opened = self.device.open()?;
        output.note(&opened.note());
        let load = LoadOptions { precision: Precision::from_name(&self.dtype)?, towers, ..LoadOptions::default() };
        let checkpoint = Checkpoint::open(&self.model, OpenOptions { load, reference: None }, &opened.device)?;
        let loaded = checkpoint.load(&|_| {})?;
        loaded.warnings.iter().for_each(|warning| output.warn(warning));
        Ok((loaded, opened.threads))
    }
}
