//! Training states as models: what `eval`, `embed` and `convert` load of a run that has not ended.

use std::path::Path;

use clip_core::checkpoint::{LoadOptions, metadata};
use clip_core::device::{Device, cpu};
use clip_core::digest::Sha256;
use clip_core::model_loader::{ModelLoader, SideFiles};
use clip_core::train::TrainingSession;

use super::folder::Folder;
use super::weights::read_header;
use super::{ForeignTokenizer, Loaded, read_file};
use crate::exit::{Failure, Result};

/// Whether a file is a training state.
///
/// # Errors
/// `source-unreadable`.
pub fn is_state(path: &Path) -> Result<bool> {
    let folder = Folder::open(path)?;
    let Some(only) = &folder.only else { return Ok(false) };
    let Some(file) = folder.file(only)? else { return Ok(false) };
    Ok(read_header(&file).is_ok_and(|header| header.metadata(metadata::TRAINING).is_some()))
}

/// Reads the session of a state, whose tokenizer may be beside it.
///
/// # Errors
/// `source-unreadable`, `invalid-checkpoint`, `invalid-tokenizer`.
pub fn open_state(path: &Path, device: &Device) -> Result<(TrainingSession, Option<ForeignTokenizer>)> {
    let session = TrainingSession::from_state(&read_file(path)?, None, device)
        .map_err(|error| Failure::from(error).about_path(path))?;
    let foreign = if session.tokenizer().is_ok() { None } else { ForeignTokenizer::of_run(path)? };
    Ok((session, foreign))
}

/// Loads the model of a state as its run would write it: with averaged weights where it averages, and adapters merged.
///
/// # Errors
/// Those of [`open_state`]; `missing-tower`, `out-of-memory`.
pub fn load_state(path: &Path, options: LoadOptions, device: &Device) -> Result<Loaded> {
    let (session, foreign) = open_state(path, &cpu())?;
    let weights = pollster::block_on(session.bundle()?.save("open_clip"))?;
    drop(session);
    let (bundle, mut warnings) = ModelLoader::load(&weights, &SideFiles::default(), options, device)
        .map_err(|error| Failure::from(error).about_path(path))?;
    warnings.extend(foreign.iter().flat_map(|foreign| foreign.warnings(bundle.config.text.context_length)));
    let mut sum = Sha256::default();
    sum.update(&weights);
    Ok(Loaded { bundle, foreign, warnings, weights_sha256: sum.finish() })
}
