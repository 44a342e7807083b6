//! What a run ends with: the model, and its adapters.

use std::path::{Path, PathBuf};

use clip_core::train::{RunOptions, TrainingSession, Tuning};

use super::run_folder::RunFolder;
use crate::exit::Result;
use crate::files::{make_folder, write_whole};
use crate::output::Output;

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
            Err(error) if error.code == "invalid-option" => output.warn(&format!("no adapter is written: {error}")),
            written => written?,
        }
    }
    Ok(model)
}
