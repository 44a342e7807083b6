//! When a run saves and evaluates, and how.

use crate::config::Settings;
use crate::exit::{Failure, Result, above_0};

/// When what happens, in steps and epochs, and how.
pub(super) struct Plan {
    pub(super) save_steps: Option<usize>,
    pub(super) save_frequency: Option<usize>,
    pub(super) val_frequency: usize,
    /// Layout of the model that is written at the end.
    pub(super) layout: String,
    /// Whether captions longer than the context are cut.
    pub(super) truncate: bool,
    /// Whether pairs and images that cannot be used are skipped.
    pub(super) skip: bool,
    /// Whether event files of TensorBoard are written.
    pub(super) tensorboard: bool,
}

impl Plan {
    /// Reads it from the settings.
    ///
    /// # Errors
    /// `invalid-option`.
    pub(super) fn read(settings: &Settings) -> Result<Self> {
        let every = |name: &str| -> Result<Option<usize>> {
            settings.number(name)?.map(|number| above_0(name, number as usize)).transpose()
        };
        let layout = settings.text("export")?.unwrap_or("hf");
        if !["hf", "open_clip"].contains(&layout) {
            return Err(Failure::option("export", "hf or open_clip", layout));
        }
        let tensorboard = match settings.text("reportTo")? {
            None => false,
            Some("tensorboard") => true,
            Some(other) => return Err(Failure::option("reportTo", "tensorboard; steps.csv is always written", other)),
        };
        Ok(Self {
            save_steps: every("saveSteps")?,
            save_frequency: every("saveFrequency")?,
            val_frequency: every("valFrequency")?.unwrap_or(1),
            layout: layout.into(),
            truncate: settings.truncate()?,
            skip: settings.skips_bad_pairs()?,
            tensorboard,
        })
    }
}
