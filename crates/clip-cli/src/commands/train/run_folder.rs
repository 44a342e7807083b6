//! The folder of a run: its states, its logs and the model that it ends with.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use clip_core::export::NamedFile;

use crate::config::Settings;
use crate::events::{EvaluationEvent, RecallEvent, StepEvent, ZeroShotEvent};
use crate::exit::{Failure, Result};
use crate::files::{is_draft, link_whole, make_folder, write_whole};

/// Columns of `steps.csv`.
const STEPS: &str =
    "step,epoch,loss,lr,logitScale,gradientNorm,imageLikeness,textLikeness,batchSize,samplesPerSecond,waiting";
/// Columns of `evaluations.csv`.
const EVALUATIONS: &str = "step,imageToTextR1,imageToTextR5,imageToTextR10,imageToTextMedianRank,textToImageR1,textToImageR5,textToImageR10,textToImageMedianRank,zeroShotTop1,zeroShotTop5";

/// The folder of a run.
#[derive(Debug, Clone)]
pub(super) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder of the run of that name.
    ///
    /// # Errors
    /// `invalid-option` for a name with folders in it.
    pub(super) fn new(logs: &Path, name: &str) -> Result<Self> {
        if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(Failure::option("name", "the name of a folder", format!("{name:?}")));
        }
        Ok(Self { path: logs.join(name) })
    }

    /// The state that a resumed run goes on from.
    pub(super) fn latest(&self) -> PathBuf {
        self.path.join("checkpoints").join("latest.clip")
    }

    /// The model that the run ends with.
    pub(super) fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The folder of the adapters that a run with `lora` ends with.
    pub(super) fn adapter(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// The folder of TensorBoard's event files.
    pub(super) fn board(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The settings that the run began with; `None` where they are lost.
    pub(super) fn settings(&self) -> Option<Settings> {
        Settings::from_json(&fs::read_to_string(self.path.join("settings.json")).ok()?)
    }

    /// Its path.
    pub(super) fn display(&self) -> String {
        self.path.display().to_string()
    }

    /// Checks that no other run is in the folder than one that goes on from a state in it.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn check_free(&self, resumed_from: Option<&Path>) -> Result<()> {
        let own = |state: &Path| state.canonicalize().ok()?.starts_with(self.path.canonicalize().ok()?).then_some(());
        let is_own = resumed_from.and_then(own).is_some();
        let holds_run = self.path.join("settings.json").exists() || self.latest().exists();
        if is_own || !holds_run {
            return Ok(());
        }
        let advice = "go on with it by --resume latest, or give another --name";
        Err(Failure::new("target-unwritable", format!("{} holds a run: {advice}", self.display())))
    }

    /// Makes the folder, and keeps other processes from training in it as long as the result lives.
    ///
    /// # Errors
    /// `target-unwritable`, also where another process trains in it.
    pub(super) fn lock(&self) -> Result<File> {
        let folder = self.path.join("checkpoints");
        make_folder(&folder)?;
        let path = folder.join(".lock");
        let file = File::create(&path).map_err(|error| Failure::unwritable(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process trains in {}: give another --name", self.display());
                Err(Failure::new("target-unwritable", message))
            }
            Err(fs::TryLockError::Error(error)) => Err(Failure::unwritable(&path, error)),
        }
    }

    /// Makes the folder of a new run, with its settings.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn create(&self, settings: &str) -> Result<()> {
        self.remove_drafts();
        self.write("settings.json", settings)?;
        self.write("steps.csv", &format!("{STEPS}\n"))?;
        self.write("evaluations.csv", &format!("{EVALUATIONS}\n"))
    }

    /// Prepares the folder for a run that goes on after `step` steps: rows of later steps, which are taken again, are removed.
    ///
    /// # Errors
    /// `target-unwritable`; `source-unreadable` for logs that are there and cannot be read, which would be lost.
    pub(super) fn resume(&self, step: usize, settings: &str) -> Result<()> {
        self.remove_drafts();
        // a run that goes on in a new folder
        if !self.path.join("settings.json").exists() {
            self.write("settings.json", settings)?;
        }
        for (name, header) in [("steps.csv", STEPS), ("evaluations.csv", EVALUATIONS)] {
            let path = self.path.join(name);
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                read => read.map_err(|error| Failure::unreadable("log", &path, error))?,
            };
            let is_before = |row: &&str| {
                row.split(',').next().and_then(|first| first.parse().ok()).is_some_and(|n: usize| n <= step)
            };
            let rows = text.lines().skip(1).filter(is_before);
            let kept: String = [header].into_iter().chain(rows).map(|row| format!("{row}\n")).collect();
            self.write(name, &kept)?;
        }
        Ok(())
    }

    /// Writes the tokenizer of a model whose states and safetensors cannot hold it.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn write_tokenizer(&self, files: &[NamedFile]) -> Result<()> {
        files.iter().try_for_each(|(name, bytes)| write_whole(&self.path.join(name), bytes))
    }

    /// Removes what a killed process was writing. What cannot be removed does no harm.
    fn remove_drafts(&self) {
        for folder in [self.path.clone(), self.path.join("checkpoints")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_draft(&name) {
                    let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
                }
            }
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_whole(&self.path.join(name), text.as_bytes())
    }

    fn append(&self, name: &str, row: &str) -> Result<()> {
        let path = self.path.join(name);
        let file = fs::OpenOptions::new().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(format!("{row}\n").as_bytes()));
        written.map_err(|error| Failure::unwritable(&path, error))
    }

    /// Logs a step.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn log_step(&self, event: &StepEvent) -> Result<()> {
        let StepEvent { step, epoch, loss, lr, logit_scale, gradient_norm, likeness, batch_size, .. } = event;
        let (speed, waiting) = (event.samples_per_second, event.waiting);
        let (image, text) = (likeness.image, likeness.text);
        let row = format!(
            "{step},{epoch},{loss},{lr},{logit_scale},{gradient_norm},{image},{text},{batch_size},{speed:.1},{waiting:.3}"
        );
        self.append("steps.csv", &row)
    }

    /// Logs an evaluation: of retrieval, of zero-shot classification, or both.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn log_evaluation(
        &self,
        step: usize,
        retrieval: Option<&EvaluationEvent>,
        zero_shot: Option<&ZeroShotEvent>,
    ) -> Result<()> {
        let sides = retrieval.map(|event| [&event.image_to_text, &event.text_to_image]);
        let of_side = |side: &RecallEvent| format!("{},{},{},{}", side.r1, side.r5, side.r10, side.median_rank);
        let retrieval = sides.map_or(",".repeat(7), |sides| sides.map(of_side).join(","));
        let zero_shot = zero_shot.map_or(",".into(), |event| format!("{},{}", event.top1, event.top5));
        self.append("evaluations.csv", &format!("{step},{retrieval},{zero_shot}"))
    }

    /// Saves a state as the latest, and under the number of an epoch that shall be kept.
    ///
    /// # Errors
    /// `target-unwritable`; the states that were there are unchanged then.
    pub(super) fn save_state(&self, state: &[u8], epoch: Option<usize>) -> Result<PathBuf> {
        let latest = self.latest();
        let Some(epoch) = epoch else {
            write_whole(&latest, state)?;
            return Ok(latest);
        };
        let path = self.path.join("checkpoints").join(format!("epoch-{epoch:04}.clip"));
        write_whole(&path, state)?;
        link_whole(&path, &latest)?;
        Ok(path)
    }
}
