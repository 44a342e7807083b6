//! What a run ends with: the model, and its adapters.

use std::path::{Path, PathBuf};

use clip_core::config::ClipConfig;
use clip_core::train::{RunOptions, TrainingSession, Tuning};

use super::run_folder::RunFolder;
use crate::exit::{Failure, Result};
use crate::files::{make_folder, write_whole};
use crate::output::Output;

/// Checks that a layout can describe a model: before hours of work, not after.
///
/// # Errors
/// `invalid-option`.
pub(super) fn check_layout(config: &ClipConfig, layout: &str) -> Result<()> {
    if layout == "hf" {
        let refused = |error| Failure::option("export", "open_clip for this model", format!("hf: {error}"));
        config.to_hf_json().map_err(refused)?;
    }
    Ok(())
}

/// Writes the adapters in PEFT's files.
fn write_adapter(session: &TrainingSession, folder: &Path) -> Result<()> {
    let adapter = pollster::block_on(session.save_adapter())?;
    make_folder(folder)?;
    write_whole(&folder.join("adapter_config.json"), adapter.config.as_bytes())?;
    write_whole(&folder.join("adapter_model.safetensors"), &adapter.weights)
}

/// Writes the model, and the adapters of a run with `lora`; returns the path of the model.
///
/// # Errors
/// `target-unwritable`; `invalid-option` for a model that the layout cannot describe.
pub(super) fn write_results(
    session: &TrainingSession,
    options: &RunOptions,
    folder: &RunFolder,
    layout: &str,
    output: &Output,
) -> Result<PathBuf> {
    let model = folder.model();
    write_whole(&model, &pollster::block_on(session.bundle()?.save(layout))?)?;
    if let Tuning::Lora { .. } = options.tuning {
        // transformers and PEFT do not have every model
        match write_adapter(session, &folder.adapter()) {
            Err(error) if error.code == "invalid-option" => {
                output.warn(None, &format!("no adapter is written: {error}"));
            }
            written => written?,
        }
    }
    Ok(model)
}
