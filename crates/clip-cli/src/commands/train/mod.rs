//! `clipwright train`: trains or fine-tunes a model, resumable at any step.

mod arguments;
mod combinations;
mod monitor;
mod plan;
mod preset;
mod results;
mod resume;
mod run_folder;
mod sources;
mod speedometer;
mod start;
mod steps;
mod tensorboard;

use clip_core::data::PairDataset;
use clip_core::digest::Sha256;
use clip_core::train::Traffic;

use self::combinations::check_combinations;
use self::monitor::TrainingMonitor;
use self::plan::Plan;
use self::results::{check_layout, write_results};
use self::resume::{Begun, begin};
use self::run_folder::RunFolder;
use self::sources::{Sources, Started};
use self::steps::Run;
use self::tensorboard::TensorBoard;
use crate::config::Settings;
use crate::device::{self, DeviceChoice, GpuChoice, OpenDevice};
use crate::events::Event;
use crate::exit::Result;
use crate::flags::name_flag;
use crate::interrupt::Interrupts;
use crate::output::{Output, count};
use crate::ranks::Processes;

pub use self::arguments::TrainArgs;
pub(super) use self::arguments::{FitArgs, over_file, precision};
pub(super) use self::preset::over_preset;

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

fn open_device(settings: &Settings, processes: &Processes, output: &Output) -> Result<OpenDevice> {
    let choice = settings.text("device")?.map_or(Ok(DeviceChoice::Auto), DeviceChoice::from_name)?;
    let number = |name: &str| -> Result<Option<usize>> { Ok(settings.number(name)?.map(|number| number as usize)) };
    let gpu = GpuChoice { number: number("gpu")?, of: processes.on_machine() };
    let opened = device::open(choice, number("threads")?, gpu)?;
    output.note(&opened.note());
    if let Some(warning) = processes.compare_devices(&opened.gpu) {
        output.warn(None, &warning);
    }
    Ok(opened)
}

/// Says what begins.
fn announce(begun: &Begun, started: &Started, device: &OpenDevice, folder: &RunFolder, ranks: usize, output: &Output) {
    let &Started { pairs, total_steps, ref evaluation, .. } = started;
    output.event(&Event::Start {
        version: env!("CARGO_PKG_VERSION"),
        total_steps,
        step: begun.resumed.unwrap_or(0),
        pairs,
        evaluation_pairs: evaluation.as_ref().map_or(0, PairDataset::len),
        vocab_size: begun.session.config().text.vocab_size,
        device,
        folder: &folder.display(),
        ranks,
    });
    if !output.is_json() {
        let from = begun.resumed.map_or(String::new(), |step| format!(", from step {step} on"));
        let together = if ranks > 1 { format!(", {ranks} processes") } else { String::new() };
        let (pairs, steps) = (count(pairs as u64), count(total_steps as u64));
        output.note(&format!("{pairs} pairs, {steps} steps{from}{together}; {}", folder.display()));
    }
}

/// Checks that all processes are about to take the same steps.
fn check_same(processes: &Processes, begun: &Begun, started: &Started) -> Result<()> {
    if processes.ranks.size() == 1 {
        return Ok(());
    }
    let session = &begun.session;
    let mut state = Sha256::default();
    state.update(&pollster::block_on(session.save_state())?);
    processes.check_same(&[
        ("the program's version", env!("CARGO_PKG_VERSION").into()),
        ("the options of the run", serde_json::to_string(&begun.options).unwrap_or_default()),
        ("the model's shape", session.config().to_json()),
        ("the step to go on from", begun.resumed.map_or("none".into(), |step| step.to_string())),
        ("the number of pairs", started.pairs.to_string()),
        ("the SHA-256 of the pairs", started.pairs_sha256.clone()),
        ("the SHA-256 of the weights", state.finish()),
    ])
}

/// Runs the command.
///
/// # Errors
/// Those of its files, its pairs, its model and its device; `interrupted`, `terminated`, `hung-up` and `asked-to-stop` after a signal;
/// `no-mpi` and `other-ranks` where a launcher started several processes that cannot train together.
pub fn run(arguments: &TrainArgs, output: &Output) -> Result<()> {
    let processes = Processes::join(output)?;
    // it may be said here already
    let result = train(arguments, &processes, output).map_err(name_flag::<TrainArgs>);
    processes.leave(result, output)
}

fn train(arguments: &TrainArgs, processes: &Processes, output: &Output) -> Result<()> {
    let settings = arguments.settings()?;
    let plan = Plan::read(&settings)?;
    check_combinations(&settings)?;
    let mut sources = Sources::open(&settings)?;
    let logs = settings.path("logs")?.unwrap_or_else(|| "logs".into());
    let folder = RunFolder::new(&logs, settings.text("name")?.unwrap_or("run"))?;
    let interrupts = Interrupts::listen()?;
    let opened = open_device(&settings, processes, output)?;
    let mut begun = begin(&settings, &folder, &opened.device, output)?;
    check_layout(begun.session.config(), &plan.layout)?;
    begun.session.warnings().iter().for_each(|warning| output.warn(None, warning));
    begun.session.join(processes.ranks.clone());
    let is_first = processes.is_first();
    let started = sources.start(&mut begun, &settings, opened.threads, is_first, (output, &interrupts))?;
    check_same(processes, &begun, &started)?;
    let step = begun.resumed.unwrap_or(0);
    // until the run ends
    let _lock = is_first.then(|| folder.lock()).transpose()?;
    match begun.resumed {
        _ if !is_first => {}
        Some(step) => folder.resume(step, &settings.to_json())?,
        None => folder.create(&settings.to_json())?,
    }
    if let Some(foreign) = begun.foreign.as_ref().filter(|_| is_first) {
        folder.write_tokenizer(&foreign.files)?;
    }
    announce(&begun, &started, &opened, &folder, processes.ranks.size(), output);
    let board = (is_first && plan.tensorboard).then(|| TensorBoard::begin(&folder.board(), step)).transpose()?;
    let Started { images, evaluation, captions, .. } = started;
    let mut run = Run {
        loss: None,
        exchanged: Traffic::default(),
        warned: false,
        output,
        interrupts: &interrupts,
        processes,
        folder: &folder,
        plan: &plan,
        steps_per_epoch: (started.total_steps / begun.options.epochs).max(1),
        monitor: TrainingMonitor::new(captions),
        board,
        images,
        evaluation,
        zero_shot: sources.zero_shot.take(),
        foreign: begun.foreign.as_ref(),
    };
    let step = run.steps(&mut begun.session, step)?;
    if !is_first {
        return Ok(());
    }
    let path = write_results(&begun.session, &begun.options, &folder, &plan.layout, output)?.display().to_string();
    let exchanged = Some(run.exchanged).filter(|traffic| traffic.exchanges > 0);
    output.event(&Event::Done { step, path: &path, exchanged });
    let loss = run.loss.map_or(String::new(), |loss| format!(" to a loss of {loss:.4}"));
    output.result(&format!("trained {} steps{loss}; the model is in {path}", count(step as u64)));
    Ok(())
}
