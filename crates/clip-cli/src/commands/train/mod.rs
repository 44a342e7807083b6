//! `clipwright train`: trains or fine-tunes a model, resumable at any step.

mod arguments;
mod combinations;
mod resume;
mod run_folder;
mod speedometer;
mod start;
mod tensorboard;

use std::path::Path;
use std::time::{Duration, Instant};

use clip_core::data::PairDataset;
use clip_core::model::Towers;
use clip_core::preprocess::Augmenter;
use clip_core::train::{TrainingSession, Tuning};

use self::combinations::check_combinations;
use self::resume::{Begun, begin};
use self::run_folder::RunFolder;
use self::speedometer::Speedometer;
use self::tensorboard::TensorBoard;
use crate::commands::pairs::{read_options, read_pairs};
use crate::config::Settings;
use crate::data::{Crop, Filled, Prefetch, Source};
use crate::device::{self, DeviceChoice, OpenDevice};
use crate::events::{EvaluationEvent, Event, StepEvent};
use crate::exit::{Failure, Result};
use crate::files::{make_folder, write_whole};
use crate::interrupt::Interrupts;
use crate::output::{Output, count, duration};

pub use self::arguments::TrainArgs;

/// Most threads that decode images, unless more are asked for.
const MOST_WORKERS: usize = 4;

/// Megabytes of images in memory, unless another number is asked for.
const IMAGE_MEMORY: u64 = 8000;

/// What `--help` says after the flags.
pub const HELP: &str = "\
A config file has the same settings by the names of the package's options, with the shape of the model in [config] and the options of \
fit() in [fit]:

  trainData = \"shards/train-{000..011}.tar\"
  [config]
  embedDim = 128
  vision = { imageSize = 32, patchSize = 8, width = 128, layers = 4, heads = 4 }
  text = { contextLength = 16, width = 128, layers = 4, heads = 4 }
  [fit]
  batchSize = 256
  muon = { lr = 0.02 }

A run's folder holds settings.json, steps.csv, evaluations.csv, checkpoints/latest.clip (a training state, which the package's \
ClipTrainer.resume reads, too) and, at the end, model.safetensors.";

/// When what happens, in steps and epochs.
struct Plan {
    /// Steps of an epoch.
    per_epoch: usize,
    save_steps: Option<usize>,
    save_frequency: Option<usize>,
    val_frequency: usize,
}

impl Plan {
    fn read(settings: &Settings) -> Result<Self> {
        let every = |name: &str| -> Result<Option<usize>> {
            match settings.number(name)? {
                Some(0) => Err(Failure::option(name, "a whole number above 0", 0)),
                number => Ok(number.map(|number| number as usize)),
            }
        };
        Ok(Self {
            per_epoch: 1,
            save_steps: every("saveSteps")?,
            save_frequency: every("saveFrequency")?,
            val_frequency: every("valFrequency")?.unwrap_or(1),
        })
    }

    /// The epoch that ends with a step.
    fn epoch_end(&self, step: usize) -> Option<usize> {
        step.is_multiple_of(self.per_epoch).then(|| step / self.per_epoch)
    }
}

/// What a run needs beside its session.
struct Run<'a> {
    /// Loss of the last step.
    loss: Option<f32>,
    /// Whether a warning said already that a log cannot be written.
    warned: bool,
    output: &'a Output,
    interrupts: &'a Interrupts,
    folder: &'a RunFolder,
    plan: Plan,
    board: Option<TensorBoard>,
    images: Option<Prefetch>,
    evaluation: Option<PairDataset>,
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
                    self.output.warn(&format!("{error}; the run goes on, its logs have gaps"));
                }
                Ok(())
            }
            other => other,
        }
    }

    fn evaluate(&mut self, session: &TrainingSession, step: usize) -> Result<()> {
        let Some(pairs) = &self.evaluation else { return Ok(()) };
        let event = EvaluationEvent::new(Some(step), pollster::block_on(session.evaluate(pairs, None))?);
        let logged = self.folder.log_evaluation(&event);
        self.log(logged)?;
        let logged = self.board.as_mut().map_or(Ok(()), |board| board.evaluation(&event));
        self.log(logged)?;
        if !self.output.is_json() {
            let (to_image, to_text) = (&event.text_to_image, &event.image_to_text);
            self.output.note(&format!("step {step}: text → image {to_image}; image → text {to_text}"));
        }
        self.output.event(&Event::Evaluation(event));
        Ok(())
    }

    /// Takes the images of the next step, and says how long it waited.
    fn squares(&mut self, session: &TrainingSession) -> Result<(Option<Vec<u8>>, Duration)> {
        self.images.as_mut().map_or(Ok((None, Duration::ZERO)), |images| images.next(session))
    }

    /// Takes steps to the last, or to a signal; returns the number of steps taken.
    fn steps(&mut self, session: &mut TrainingSession, mut step: usize) -> Result<usize> {
        let mut speed = Speedometer::default();
        // the step of the last state, which is not saved twice
        let mut saved = None;
        loop {
            if self.interrupts.came() {
                if saved != Some(step) {
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
            let (seconds, waiting) = speed.add(began.elapsed(), waited);
            let event = StepEvent::new(&progress, seconds, waiting);
            self.show(&event);
            let logged = self.folder.log_step(&event);
            self.log(logged)?;
            let logged = self.board.as_mut().map_or(Ok(()), |board| board.step(&event));
            self.log(logged)?;
            self.output.event(&Event::Step(event));
            let is_last = step == progress.total_steps;
            let epoch = self.plan.epoch_end(step);
            let kept = epoch.filter(|epoch| self.plan.save_frequency.is_some_and(|every| epoch % every == 0));
            if is_last || epoch.is_some() || self.plan.save_steps.is_some_and(|every| step.is_multiple_of(every)) {
                match self.save(session, step, kept) {
                    Ok(()) => saved = Some(step),
                    // the state before is whole, and the next may find room; after the last step there is none
                    Err(error) if error.code == "target-unwritable" && !is_last => {
                        self.output.warn(&format!("{error}; the run goes on, and the state before is kept"));
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

/// Bytes of images that may be in memory.
fn image_memory(settings: &Settings) -> Result<usize> {
    let megabytes = settings.number("imageMemory")?.unwrap_or(IMAGE_MEMORY);
    Ok(usize::try_from(megabytes).unwrap_or(usize::MAX).saturating_mul(1_000_000))
}

fn write_model(session: &TrainingSession, path: &Path, layout: &str) -> Result<()> {
    write_whole(path, &pollster::block_on(session.bundle()?.save(layout))?)
}

/// Writes the adapters in PEFT's files.
fn write_adapter(session: &TrainingSession, folder: &Path) -> Result<()> {
    let adapter = pollster::block_on(session.save_adapter())?;
    make_folder(folder)?;
    write_whole(&folder.join("adapter_config.json"), adapter.config.as_bytes())?;
    write_whole(&folder.join("adapter_model.safetensors"), &adapter.weights)
}

fn open_device(settings: &Settings, output: &Output) -> Result<OpenDevice> {
    let choice = settings.text("device")?.map_or(Ok(DeviceChoice::Auto), DeviceChoice::from_name)?;
    let opened = device::open(choice, settings.number("threads")?.map(|threads| threads as usize))?;
    output.note(&opened.note());
    Ok(opened)
}

/// Runs the command.
///
/// # Errors
/// Those of its files, its pairs, its model and its device; `interrupted` and `terminated` after a signal.
pub fn run(arguments: &TrainArgs, output: &Output) -> Result<()> {
    let settings = arguments.settings()?;
    let plan = Plan::read(&settings)?;
    let layout = settings.text("export")?.unwrap_or("hf");
    if !["hf", "open_clip"].contains(&layout) {
        return Err(Failure::option("export", "hf or open_clip", layout));
    }
    let reports = match settings.text("reportTo")? {
        None => false,
        Some("tensorboard") => true,
        Some(other) => return Err(Failure::option("reportTo", "tensorboard; steps.csv is always written", other)),
    };
    let source = Source::open(&settings.texts("trainData")?, read_options(&settings)?)?;
    let evaluation = match settings.texts("valData")? {
        paths if paths.is_empty() => None,
        paths => Some(Source::open(&paths, read_options(&settings)?)?),
    };
    let sources: Vec<&Source> = [&source].into_iter().chain(&evaluation).collect();
    Source::check_used(&sources)?;
    check_combinations(&settings)?;
    let logs = settings.path("logs")?.unwrap_or_else(|| "logs".into());
    let folder = RunFolder::new(&logs, settings.text("name")?.unwrap_or("run"))?;
    let interrupts = Interrupts::listen()?;
    let opened = open_device(&settings, output)?;

    let Begun { mut session, options, resumed } = begin(&settings, &folder, &opened.device, output)?;
    let dataset = if resumed.is_some() { session.interrupted_dataset()? } else { session.run_dataset(&options)? };
    let io = (output, &interrupts);
    // the features of a locked tower are computed of images in memory, once
    let memory = if options.lock == Some(Towers::Image) { usize::MAX } else { image_memory(&settings)? };
    let Filled { dataset, images, .. } =
        read_pairs(dataset, session.tokenizer()?, &source, &settings, Some(memory), io)?;
    let (pairs, holds_images) = (dataset.len(), dataset.holds_images());
    let total_steps = match resumed {
        Some(_) => session.resume_run(dataset)?,
        None => session.start(dataset, &options)?,
    };
    // after the vocabulary is known
    let evaluation = match &evaluation {
        Some(source) => {
            Some(read_pairs(session.new_dataset(), session.tokenizer()?, source, &settings, None, io)?.dataset)
        }
        None => None,
    };
    // until the run ends
    let _lock = folder.lock()?;
    match resumed {
        Some(step) => folder.resume(step, &settings.to_json())?,
        None => folder.create(&settings.to_json())?,
    }
    let images = if holds_images {
        None
    } else {
        let preprocess = session.preprocess().clone();
        let crop = match options.augment {
            Some(augmentation) => Crop::Augmented(Augmenter { preprocess, augmentation, seed: options.seed }),
            None => Crop::Fixed(preprocess),
        };
        let workers = settings.number("workers")?.map_or(opened.threads.min(MOST_WORKERS), |workers| workers as usize);
        Some(Prefetch::new(images, crop, workers)?)
    };
    let step = resumed.unwrap_or(0);
    output.event(&Event::Start {
        version: env!("CARGO_PKG_VERSION"),
        total_steps,
        step,
        pairs,
        evaluation_pairs: evaluation.as_ref().map_or(0, PairDataset::len),
        vocab_size: session.config().text.vocab_size,
        device: &opened,
        folder: &folder.display(),
    });
    if !output.is_json() {
        let from = resumed.map_or(String::new(), |step| format!(", from step {step} on"));
        output.note(&format!(
            "{} pairs, {} steps{from}; {}",
            count(pairs as u64),
            count(total_steps as u64),
            folder.display()
        ));
    }
    let plan = Plan { per_epoch: (total_steps / options.epochs).max(1), ..plan };
    let board = reports.then(|| TensorBoard::begin(&folder.board(), step)).transpose()?;
    let mut run = Run {
        loss: None,
        warned: false,
        board,
        output,
        interrupts: &interrupts,
        folder: &folder,
        plan,
        images,
        evaluation,
    };
    let step = run.steps(&mut session, step)?;
    let model = folder.model();
    write_model(&session, &model, layout)?;
    if let Tuning::Lora { .. } = options.tuning {
        // transformers and PEFT do not have every model
        match write_adapter(&session, &folder.adapter()) {
            Err(error) if error.code == "invalid-option" => output.warn(&format!("no adapter is written: {error}")),
            written => written?,
        }
    }
    let path = model.display().to_string();
    output.event(&Event::Done { step, path: &path });
    let loss = run.loss.map_or(String::new(), |loss| format!(" to a loss of {loss:.4}"));
    output.result(&format!("trained {} steps{loss}; the model is in {path}", count(step as u64)));
    Ok(())
}
