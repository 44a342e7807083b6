//! `clipwright bench`: times of encoding and of training steps on synthetic pairs, as JSON with `--json`.

use std::time::Instant;

use clip_core::config::ClipConfig;
use clip_core::device::Device;
use clip_core::model::TextBatch;
use clip_core::preprocess::RgbImage;
use clip_core::tokenizer::{Reference, Tokenizer};
use clip_core::train::{RunOptions, TrainingSession};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::link;
use super::model_args::DeviceArgs;
use super::pairs::{set, text};
use super::train::{over_preset, precision};
use crate::checkpoint::published_merges;
use crate::config::Settings;
use crate::device::OpenDevice;
use crate::exit::{Failure, Result, above_0};
use crate::output::Output;

/// Model and batch size, unless others are asked for.
const MODEL: &str = "ViT-B-32";
const BATCH_SIZE: usize = 64;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Shape of a published model [default: ViT-B-32]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// TOML file as that of a run, of which the model's shape, the step's options in [fit], device and threads are used
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Batch size of steps and of encoding [default: 64]
    #[arg(long, value_name = "N")]
    batch_size: Option<String>,
    /// Pairs whose activations are in memory at once
    #[arg(long, value_name = "N", conflicts_with = "no_step")]
    micro_batch_size: Option<String>,
    /// Precision of the step: f32, f16 or bf16
    #[arg(long, value_name = "NAME", conflicts_with = "no_step")]
    precision: Option<String>,
    /// Timed repetitions, after one warm-up
    #[arg(long, value_name = "N", default_value = "5")]
    repeat: usize,
    /// Measure encoding alone
    #[arg(long)]
    no_step: bool,
    /// Measure latency and bandwidth between the processes that mpirun started, and nothing else
    #[arg(long, conflicts_with_all = ["model", "config", "batch_size", "micro_batch_size", "precision", "repeat", "no_step", "device",
        "gpu", "threads"])]
    link: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Times of one operation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    /// Seconds of each repetition.
    seconds: Vec<f64>,
    /// Median of them.
    median_seconds: f64,
    /// Items of a batch by the median.
    per_second: f64,
}

/// Median of one number or more.
pub(super) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0
}

impl Times {
    /// `seconds` are those of one repetition or more.
    fn new(seconds: Vec<f64>, items: usize) -> Self {
        let median = median(&seconds);
        Self { median_seconds: median, per_second: items as f64 / median, seconds }
    }
}

/// Times of a model on a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "bench")]
struct Bench {
    version: &'static str,
    config: Value,
    options: Value,
    device: OpenDevice,
    batch_size: usize,
    /// Tokens of the longest caption.
    caption_tokens: usize,
    encode_images: Times,
    encode_texts: Times,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Times>,
}

/// Measures repetitions of some work, after one that is not measured.
fn measure(repeat: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    work()?;
    let once = |_| {
        let began = Instant::now();
        work()?;
        Ok(began.elapsed().as_secs_f64())
    };
    (0..repeat).map(once).collect()
}

/// An image of noise, another one for each number.
fn noise(number: usize, size: usize) -> Result<RgbImage> {
    let mut state = number as u32 + 1;
    let level = |_| {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    Ok(RgbImage::new(size, size, (0..3 * size * size).map(level).collect())?)
}

fn session(config: &str, seed: u64, device: &Device) -> Result<TrainingSession> {
    let tokenizer = Tokenizer::from_merges(&published_merges()?, Reference::default())?;
    Ok(TrainingSession::create(config, tokenizer, seed, device)?)
}

/// Whether a setting of a run is of use here, with training steps or without.
fn is_used(name: &str, steps: bool) -> bool {
    match name.strip_prefix("fit.") {
        Some(option) if !steps => option == "batchSize",
        Some(option) => !["epochs", "truncate", "badPairs"].contains(&option),
        None => ["preset", "config", "model", "seed", "device", "gpu", "threads"].contains(&name),
    }
}

/// The settings that are asked for: those of the file with the flags over them. Warns of what the file has besides.
fn settings(arguments: &BenchArgs, output: &Output) -> Result<Settings> {
    let file = arguments.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let unused: Vec<String> = file.names().into_iter().filter(|name| !is_used(name, !arguments.no_step)).collect();
    if !unused.is_empty() {
        output.warn(None, &format!("of the config file, bench does not use {}", unused.join(", ")));
    }
    let (mut flags, mut fit) = (Map::new(), Map::new());
    set(&mut fit, "batchSize", text(&arguments.batch_size));
    set(&mut fit, "microBatchSize", text(&arguments.micro_batch_size));
    set(&mut fit, "precision", arguments.precision.as_deref().map(precision).transpose()?);
    set(&mut flags, "fit", (!fit.is_empty()).then_some(fit));
    set(&mut flags, "model", text(&arguments.model));
    over_preset(file.with(flags))
}

/// Runs the command.
///
/// # Errors
/// `invalid-option`, `invalid-config`; those of the device.
pub fn run(arguments: &BenchArgs, output: &Output) -> Result<()> {
    if arguments.link {
        return link::run(output);
    }
    let repeat = above_0("repeat", arguments.repeat)?;
    let settings = settings(arguments, output)?;
    let config = settings.shape()?.map_or_else(|| Ok(ClipConfig::preset(MODEL)?.to_json()), Ok::<_, Failure>)?;
    let mut given = settings.run_options()?;
    given.entry("batchSize").or_insert_with(|| BATCH_SIZE.to_string().into());
    // one step an epoch, one of them not measured
    given.insert("epochs".into(), (repeat + 1).to_string().into());
    let options = RunOptions::from_json(&Value::from(given.clone()).to_string())?;
    let batch_size = options.batch_size;
    let opened = arguments.device.open(&settings)?;
    let mut session = session(&config, settings.number("seed")?.unwrap_or(0), &opened.device)?;
    let mut pairs = session.run_dataset(&options)?;
    let (size, mut squares, mut captions) = (session.preprocess().size, Vec::new(), Vec::new());
    for number in 0..batch_size {
        let image = noise(number, size)?;
        let caption = format!("a photo of the number {number} in a row of many");
        squares.extend(session.preprocess().square(&image));
        pairs.push(&image, std::slice::from_ref(&caption), session.tokenizer()?, true)?;
        captions.push(caption);
    }
    session.start(pairs, &options)?;
    let bundle = session.bundle()?;
    let ids = bundle.tokenize(captions.iter().map(String::as_str), true)?;
    let encode_images = measure(repeat, || Ok(pollster::block_on(bundle.encode_squares(&squares)).map(drop)?))?;
    let encode_texts = measure(repeat, || Ok(pollster::block_on(bundle.encode_ids(&ids)).map(drop)?))?;
    drop(bundle);
    let step = match arguments.no_step {
        true => None,
        false => Some(measure(repeat, || Ok(pollster::block_on(session.step(Some(&squares))).map(drop)?))?),
    };
    let bench = Bench {
        version: env!("CARGO_PKG_VERSION"),
        config: json!(session.config()),
        options: json!(given),
        device: opened,
        batch_size,
        caption_tokens: TextBatch::new(&ids, batch_size, &session.config().text)?.tokens(),
        encode_images: Times::new(encode_images, batch_size),
        encode_texts: Times::new(encode_texts, batch_size),
        step: step.map(|seconds| Times::new(seconds, batch_size)),
    };
    output.event(&bench);
    let row = |name: &str, times: &Times| {
        format!("{name:<16}{:>9.3} s  {:>9.1} per second", times.median_seconds, times.per_second)
    };
    output.result(&format!("batches of {batch_size} on the {}, {} threads", bench.device.kind, bench.device.threads));
    output.result(&row("encode images", &bench.encode_images));
    output.result(&row("encode texts", &bench.encode_texts));
    bench.step.iter().for_each(|times| output.result(&row("training step", times)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts() {
        let times = Times::new(vec![4.0, 1.0, 2.0], 8);
        assert_eq!((times.median_seconds, times.per_second), (2.0, 4.0));
        assert_eq!(Times::new(vec![1.0, 3.0], 4).per_second, 2.0);
    }
}
