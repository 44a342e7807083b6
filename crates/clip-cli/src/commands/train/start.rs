//! Makes the session of a new run: fresh weights, a checkpoint's, or those of another run's state.

use std::path::Path;

use clip_core::device::Device;
use clip_core::tokenizer::{Reference, Tokenizer};
use clip_core::train::TrainingSession;

use crate::checkpoint::{
    ForeignTokenizer, OpenOptions, is_state, open_adapter, open_state, published_merges, read_text_file,
};
use crate::commands::model_args::load;
use crate::config::Settings;
use crate::exit::{Failure, Result};
use crate::output::Output;

/// A session, and its tokenizer if that is not CLIP's.
type Start = (TrainingSession, Option<ForeignTokenizer>);

fn fresh(settings: &Settings, config: &str, device: &Device) -> Result<TrainingSession> {
    let reference = settings.text("tokenizer")?.map_or(Ok(Reference::default()), Reference::from_name)?;
    let merges = match settings.path("merges")? {
        Some(path) => read_text_file(&path, "invalid-tokenizer")?,
        None => published_merges()?,
    };
    let tokenizer = Tokenizer::from_merges(&merges, reference)?;
    Ok(TrainingSession::create(config, tokenizer, settings.number("seed")?.unwrap_or(0), device)?)
}

fn from_checkpoint(settings: &Settings, path: &Path, device: &Device, output: &Output) -> Result<Start> {
    let reference = settings.text("tokenizer")?.map(Reference::from_name).transpose()?;
    let mut loaded = load(path, OpenOptions { reference, ..OpenOptions::default() }, device, output)?;
    if let Some(adapter) = settings.path("adapter")? {
        loaded.bundle.merge(&open_adapter(&adapter)?)?;
    }
    Ok((TrainingSession::from_bundle(loaded.bundle)?, loaded.foreign))
}

/// Makes the session of a new run.
///
/// # Errors
/// `invalid-config`, `invalid-option`, and those of [`load`].
pub(super) fn new_session(settings: &Settings, device: &Device, output: &Output) -> Result<Start> {
    let config = settings.shape()?;
    match (settings.path("from")?, config) {
        (Some(_), Some(_)) => {
            let expected = "none beside a model's shape: a checkpoint has its own";
            Err(Failure::option("from", expected, settings.text("from")?.unwrap_or_default()))
        }
        (Some(path), None) if is_state(&path)? => {
            for name in ["adapter", "tokenizer"] {
                if let Some(value) = settings.text(name)? {
                    return Err(Failure::option(name, "none beside --from with a training state", value));
                }
            }
            open_state(&path, device)
        }
        (Some(path), None) => from_checkpoint(settings, &path, device, output),
        (None, Some(config)) => Ok((fresh(settings, &config, device)?, None)),
        (None, None) => {
            let message =
                "no model: name one by --model, a checkpoint by --from, or its shape by [config] in a --config file";
            Err(Failure::new("invalid-config", message))
        }
    }
}
