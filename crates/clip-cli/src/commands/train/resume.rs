//! Begins a run, or goes on with one.

use std::path::PathBuf;

use clip_core::config::ClipConfig;
use clip_core::device::Device;
use clip_core::train::{RunOptions, TrainingSession};
use serde_json::{Map, Value};

use super::run_folder::RunFolder;
use super::start::{given_config, new_session};
use crate::checkpoint::read_file;
use crate::config::Settings;
use crate::exit::{Failure, Result};
use crate::output::Output;

/// A session whose run can begin.
pub(super) struct Begun {
    pub(super) session: TrainingSession,
    /// Options of its run.
    pub(super) options: RunOptions,
    /// Steps that were taken before, if a run goes on.
    pub(super) resumed: Option<usize>,
}

/// The state to go on from.
fn state_of(settings: &Settings, folder: &RunFolder, output: &Output) -> Result<Option<PathBuf>> {
    match settings.text("resume")? {
        None => Ok(None),
        Some("latest") => {
            let latest = folder.latest();
            if latest.exists() {
                return Ok(Some(latest));
            }
            output.note(&format!("no {}: a new run begins", latest.display()));
            Ok(None)
        }
        Some(path) => Ok(Some(path.into())),
    }
}

fn differs(setting: &str, run: impl core::fmt::Display, got: impl core::fmt::Display) -> Failure {
    let advice = "leave it out, or begin another run";
    Failure::new("other-settings", format!("{setting}: the run to resume has {run}, got {got}: {advice}"))
}

/// Checks that settings that were given are those of the run: it goes on as it began.
fn check_options(run: &RunOptions, given: &Map<String, Value>) -> Result<()> {
    for (name, value) in given {
        let one = Value::from(Map::from_iter([(name.clone(), value.clone())])).to_string();
        if run.with_json(&one)? != *run {
            return Err(differs(name, "another value", value));
        }
    }
    Ok(())
}

fn check_config(session: &TrainingSession, given: Option<String>) -> Result<()> {
    let Some(json) = given else { return Ok(()) };
    let mut given = ClipConfig::from_json(&json)?;
    let own = session.config();
    if given.text.vocab_size == 0 {
        given.text.vocab_size = own.text.vocab_size;
    }
    if given == *own { Ok(()) } else { Err(differs("the model's shape", own.to_json(), given.to_json())) }
}

/// Makes a session, or reads it from the state of the run to go on with.
///
/// # Errors
/// `target-unwritable` where the folder holds another run; those of [`new_session`]; for a state `source-unreadable`, `invalid-checkpoint`, `no-run`, and `other-settings` where a setting is
/// not the run's.
pub(super) fn begin(settings: &Settings, folder: &RunFolder, device: &Device, output: &Output) -> Result<Begun> {
    let given = settings.run_options()?;
    let state = state_of(settings, folder, output)?;
    // before hours of work, not after; a run that was killed before its first save has nothing to lose
    let begins_again = state.is_none() && settings.text("resume")?.is_some();
    if !begins_again {
        folder.check_free(state.as_deref())?;
    }
    let Some(path) = state else {
        let options = RunOptions::from_json(&Value::from(given).to_string())?;
        return Ok(Begun { session: new_session(settings, device, output)?, options, resumed: None });
    };
    let session = TrainingSession::from_state(&read_file(&path)?, None, device)
        .map_err(|error| Failure::from(error).about_path(&path))?;
    let Some((&options, step)) = session.interrupted() else {
        let message = format!("{}: its run has ended: begin another from it by --from", path.display());
        return Err(Failure::new("no-run", message));
    };
    check_options(&options, &given)?;
    check_config(&session, given_config(settings)?)?;
    Ok(Begun { session, options, resumed: Some(step) })
}
