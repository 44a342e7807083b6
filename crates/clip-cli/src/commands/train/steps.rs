//! The steps of a run: taken, logged, saved and evaluated.

use std::time::{Duration, Instant};

use clip_core::data::PairDataset;
use clip_core::train::{Traffic, TrainingSession};

use super::monitor::TrainingMonitor;
use super::plan::Plan;
use super::run_folder::RunFolder;
use super::speedometer::Speedometer;
use super::tensorboard::TensorBoard;
use crate::checkpoint::ForeignTokenizer;
use crate::commands::zero_shot::{Treatment, ZeroShot};
use crate::data::Prefetch;
use crate::events::{EvaluationEvent, Event, StepEvent, ZeroShotEvent};
use crate::exit::Result;
use crate::interrupt::Interrupts;
use crate::output::{Output, duration};
use crate::ranks::Processes;

/// What a run needs beside its session.
pub(super) struct Run<'a> {
    /// Loss of the last step.
    pub(super) loss: Option<f32>,
    /// What this process exchanged in the steps, and before them to agree that there is one.
    pub(super) exchanged: Traffic,
    /// Whether a warning said already that a log cannot be written.
    pub(super) warned: bool,
    pub(super) output: &'a Output,
    pub(super) interrupts: &'a Interrupts,
    pub(super) processes: &'a Processes,
    pub(super) folder: &'a RunFolder,
    pub(super) plan: &'a Plan,
    pub(super) steps_per_epoch: usize,
    pub(super) monitor: TrainingMonitor,
    pub(super) board: Option<TensorBoard>,
    pub(super) images: Option<Prefetch>,
    pub(super) evaluation: Option<PairDataset>,
    pub(super) zero_shot: Option<ZeroShot>,
    /// A tokenizer that is not CLIP's.
    pub(super) foreign: Option<&'a ForeignTokenizer>,
}

impl Run<'_> {
    fn save(&self, session: &TrainingSession, step: usize, epoch: Option<usize>) -> Result<()> {
        let state = pollster::block_on(session.save_state())?;
        let path = self.folder.save_state(&state, epoch)?.display().to_string();
        self.output.event(&Event::Saved { step, path: &path });
        Ok(())
    }

    /// Goes on where a log cannot be written, as on a full disk: the steps are worth more. The first time, it warns.
    fn log(&mut self, written: Result<()>) -> Result<()> {
        match written {
            Err(error) if error.code == "target-unwritable" => {
                if !std::mem::replace(&mut self.warned, true) {
                    self.output.warn(None, &format!("{error}; the run goes on, its logs have gaps"));
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Writes to TensorBoard's file, where there is one.
    fn board(&mut self, write: impl FnOnce(&mut TensorBoard) -> Result<()>) -> Result<()> {
        let written = self.board.as_mut().map_or(Ok(()), write);
        self.log(written)
    }

    /// The epoch that ends with a step.
    fn epoch_end(&self, step: usize) -> Option<usize> {
        step.is_multiple_of(self.steps_per_epoch).then(|| step / self.steps_per_epoch)
    }

    fn retrieve(&self, session: &TrainingSession, step: usize) -> Result<Option<EvaluationEvent>> {
        let evaluate = |pairs| pollster::block_on(session.evaluate(pairs, None));
        Ok(self.evaluation.as_ref().map(evaluate).transpose()?.map(|found| EvaluationEvent::new(Some(step), found)))
    }

    fn classify(&self, session: &TrainingSession, step: usize) -> Result<Option<ZeroShotEvent>> {
        let Some(zero_shot) = &self.zero_shot else { return Ok(None) };
        let Plan { truncate, skip, .. } = *self.plan;
        let how = Treatment { truncate, skip, output: self.output, interrupts: self.interrupts };
        match zero_shot.classify(&session.bundle()?, self.foreign, how) {
            // the run is saved, and says so before its next step
            Err(_stopped) if self.interrupts.came() => Ok(None),
            found => Ok(Some(ZeroShotEvent { step: Some(step), ..found? })),
        }
    }

    fn evaluate(&mut self, session: &TrainingSession, step: usize) -> Result<()> {
        let (retrieval, zero_shot) = (self.retrieve(session, step)?, self.classify(session, step)?);
        if retrieval.is_none() && zero_shot.is_none() {
            return Ok(());
        }
        let logged = self.folder.log_evaluation(step, retrieval.as_ref(), zero_shot.as_ref());
        self.log(logged)?;
        if let Some(event) = retrieval {
            self.board(|board| board.evaluation(&event))?;
            if !self.output.is_json() {
                let (to_image, to_text) = (&event.text_to_image, &event.image_to_text);
                self.output.note(&format!("step {step}: text → image {to_image}; image → text {to_text}"));
            }
            self.output.event(&Event::Evaluation(event));
        }
        if let Some(event) = zero_shot {
            self.board(|board| board.zero_shot(&event))?;
            if !self.output.is_json() {
                self.output.note(&format!("step {step}: zero-shot {event}"));
            }
            self.output.event(&Event::ZeroShot(event));
        }
        Ok(())
    }

    /// Takes the images of the next step, and says how long it waited.
    fn squares(&mut self, session: &TrainingSession) -> Result<(Option<Vec<u8>>, Duration)> {
        self.images.as_mut().map_or(Ok((None, Duration::ZERO)), |images| images.next(session))
    }

    /// Takes steps to the last, or to a signal; returns the number of steps taken.
    ///
    /// # Errors
    /// Those of the device and of the images; `target-unwritable` for the last state; after a signal `interrupted`, `terminated`, `hung-up`.
    pub(super) fn steps(&mut self, session: &mut TrainingSession, mut step: usize) -> Result<usize> {
        let mut speed = Speedometer::default();
        let is_first = self.processes.is_first();
        let before = self.processes.ranks.traffic();
        // the step of the last saved state
        let mut saved = None;
        loop {
            if self.processes.interrupted(self.interrupts) {
                if is_first && saved != Some(step) {
                    self.save(session, step, None)?;
                }
                let latest = self.folder.latest();
                let advice = format!("the run is saved in {}: go on with it by --resume latest", latest.display());
                return Err(self.interrupts.failure(format!("stopped after step {step}; {advice}")));
            }
            let began = Instant::now();
            let (squares, waited) = self.squares(session)?;
            let Some(progress) = pollster::block_on(session.step(squares.as_deref()))? else { break };
            step = progress.step;
            self.loss = Some(progress.loss);
            self.exchanged = self.processes.ranks.traffic().since(before);
            if !is_first {
                continue;
            }
            let (seconds, waiting) = speed.add(began.elapsed(), waited);
            let event = StepEvent::new(&progress, seconds, waiting);
            self.show(&event);
            for (code, message) in self.monitor.look(&event) {
                self.output.warn(Some(code), &message);
            }
            let logged = self.folder.log_step(&event);
            self.log(logged)?;
            self.board(|board| board.step(&event))?;
            self.output.event(&Event::Step(event));
            let is_last = step == progress.total_steps;
            let epoch = self.epoch_end(step);
            let kept = epoch.filter(|epoch| self.plan.save_frequency.is_some_and(|every| epoch % every == 0));
            if is_last || epoch.is_some() || self.plan.save_steps.is_some_and(|every| step.is_multiple_of(every)) {
                match self.save(session, step, kept) {
                    Ok(()) => saved = Some(step),
                    // the state before is whole, and the next may find room; after the last step there is none
                    Err(error) if error.code == "target-unwritable" && !is_last => {
                        self.output.warn(None, &format!("{error}; the run goes on, and the state before is kept"));
                    }
                    Err(error) => return Err(error),
                }
            }
            // after the save: what fails here loses no step
            if epoch.is_some_and(|epoch| is_last || epoch % self.plan.val_frequency == 0) {
                self.evaluate(session, step)?;
            }
        }
        Ok(step)
    }

    fn show(&self, event: &StepEvent) {
        self.output.progress(event.step, event.total_steps, || {
            let waiting = if event.waiting >= 0.01 {
                format!(", waiting {:.0} % for images", 100.0 * event.waiting)
            } else {
                String::new()
            };
            format!(
                "{}/{}  epoch {}  loss {:.4}  {:.1} pairs/s{waiting}  {} left",
                event.step,
                event.total_steps,
                event.epoch,
                event.loss,
                event.samples_per_second,
                duration(event.seconds_left)
            )
        });
    }
}
