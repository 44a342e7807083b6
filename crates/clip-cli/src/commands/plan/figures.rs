//! Measured figures that a plan is made from: of one device, and of the link between ranks.

use std::path::{Path, PathBuf};

use clip_core::config::{ClipConfig, TextConfig};
use clip_core::train::RunOptions;
use clip_core::train::scale::{Link, Speed, Workload};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Deserializer, Map, Value};

use crate::commands::link::LinkEvent;
use crate::exit::{Failure, Result};
use crate::quantity::{BANDWIDTH, DURATION, NUMBER};

/// Seconds of a day.
pub(super) const DAY: f64 = 86_400.0;

/// Flags of measured figures.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Measured figures")]
pub(super) struct FigureArgs {
    /// Output of bench --json on one device; of several batch sizes, time that each step has is told apart
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["pairs_per_second", "days"])]
    measured: Vec<PathBuf>,
    /// Pairs a second of this step on one device, in place of --measured
    #[arg(long, value_name = "NUMBER", conflicts_with = "days")]
    pairs_per_second: Option<String>,
    /// Days that the run shall take: which speed that needs
    #[arg(long, value_name = "NUMBER")]
    days: Option<String>,
    /// Output of bench --link --json, in place of --bandwidth and --latency
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bandwidth", "latency"])]
    link: Option<PathBuf>,
    /// What each GPU can send while all do, as 100Gbit/s: of a network card that 8 share, an eighth
    #[arg(long, value_name = "SPEED", requires = "latency")]
    bandwidth: Option<String>,
    /// Time until a message arrives, as 5us
    #[arg(long, value_name = "TIME", requires = "bandwidth")]
    latency: Option<String>,
    /// Copies between a GPU and its host, as 12GB/s
    #[arg(long, value_name = "SPEED")]
    host_bandwidth: Option<String>,
}

/// What decides the computing time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Measured steps.
    Speed(Speed),
    /// The seconds of a step that lead to the time asked for.
    Asked(f64),
    /// Nothing.
    Unknown,
}

/// Figures of a device and of its surroundings.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) pace: Pace,
    pub(super) link: Option<Link>,
    /// Bytes a second between a device and its host.
    pub(super) host: Option<f64>,
    /// Where the pace comes from.
    pub(super) source: String,
}

/// A result of `bench`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bench {
    config: Value,
    options: Map<String, Value>,
    batch_size: usize,
    caption_tokens: usize,
    device: BenchDevice,
    step: Option<BenchTimes>,
}

#[derive(Debug, Deserialize)]
struct BenchDevice {
    kind: String,
    threads: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BenchTimes {
    median_seconds: f64,
}

/// Reads the events of a type from a file of `--json`.
fn events<T: DeserializeOwned>(option: &str, path: &Path, kind: &str, command: &str) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::unreadable("file", path, error))?;
    let wrong = |why: String| {
        Failure::option(option, &format!("the output of {command} --json"), format!("{} ({why})", path.display()))
    };
    let mut found = Vec::new();
    for event in Deserializer::from_str(&text).into_iter::<Value>() {
        let event = event.map_err(|error| wrong(error.to_string()))?;
        if event["type"] == kind {
            found.push(serde_json::from_value(event).map_err(|error| wrong(error.to_string()))?);
        }
    }
    if found.is_empty() { Err(wrong(format!("no event {kind}"))) } else { Ok(found) }
}

/// Whether two models compute alike: their vocabularies may differ, which are looked up.
fn is_alike(a: &ClipConfig, b: &ClipConfig) -> bool {
    let vocabulary = b.text.vocab_size;
    ClipConfig { text: TextConfig { vocab_size: vocabulary, ..a.text.clone() }, ..a.clone() } == *b
}

/// Operations and seconds of a measured step, and what it was.
fn measured(bench: &Bench, path: &Path, workload: &Workload) -> Result<((f64, f64), String)> {
    let refuse =
        |expected: &str, got: &str| Err(Failure::option("measured", expected, format!("{got} in {}", path.display())));
    let Some(step) = &bench.step else { return refuse("a training step", "none (--no-step)") };
    let config = ClipConfig::from_json(&bench.config.to_string())?;
    if !is_alike(&config, workload.config()) {
        return refuse("a step of the same model", "another one");
    }
    let options = RunOptions::from_json(&Value::from(bench.options.clone()).to_string())?;
    let precision = workload.options().precision;
    if options.precision != precision {
        return refuse(&format!("a step in {precision}"), options.precision.name());
    }
    let was =
        Workload::new(&config, &RunOptions { batch_size: bench.batch_size, ..options }, 1, Some(bench.caption_tokens))?;
    let BenchDevice { kind, threads } = &bench.device;
    let note = format!("{:.3} s for {} pairs on the {kind}, {threads} threads", step.median_seconds, bench.batch_size);
    Ok(((was.step_flops(), step.median_seconds), note))
}

impl Figures {
    /// Reads the figures that were given.
    ///
    /// # Errors
    /// `invalid-option`, `source-unreadable`.
    pub(super) fn read(arguments: &FigureArgs, workload: &Workload, pairs: Option<usize>) -> Result<Self> {
        let link = match (&arguments.link, &arguments.bandwidth, &arguments.latency) {
            (Some(path), ..) => {
                let found: Vec<LinkEvent> = events("link", path, "link", "bench --link")?;
                found.last().map(|link| Link { latency: link.latency_seconds, bandwidth: link.bytes_per_second })
            }
            (None, Some(bandwidth), Some(latency)) => Some(Link {
                latency: DURATION.read("latency", latency)?,
                bandwidth: BANDWIDTH.read("bandwidth", bandwidth)?,
            }),
            _ => None,
        };
        let host = BANDWIDTH.given("hostBandwidth", &arguments.host_bandwidth)?;
        let (pace, source) = Self::pace(arguments, workload, pairs)?;
        Ok(Self { pace, link, host, source })
    }

    fn pace(arguments: &FigureArgs, workload: &Workload, pairs: Option<usize>) -> Result<(Pace, String)> {
        if !arguments.measured.is_empty() {
            let (mut steps, mut notes) = (Vec::new(), Vec::new());
            for path in &arguments.measured {
                for bench in events::<Bench>("measured", path, "bench", "bench")? {
                    let (step, note) = measured(&bench, path, workload)?;
                    steps.push(step);
                    notes.push(note);
                }
            }
            let speed =
                Speed::measured(&steps).ok_or_else(|| Failure::option("measured", "steps that took time", "0 s"))?;
            return Ok((Pace::Speed(speed), format!("measured: {}", notes.join("; "))));
        }
        if let Some(rate) = NUMBER.given("pairsPerSecond", &arguments.pairs_per_second)? {
            let alone = workload.alone();
            let speed = Speed { fixed: 0.0, per_flop: alone.own() as f64 / rate / alone.step_flops() };
            return Ok((Pace::Speed(speed), format!("as given: {rate} pairs a second on one device")));
        }
        let Some(days) = NUMBER.given("days", &arguments.days)? else {
            return Ok((Pace::Unknown, "unknown".into()));
        };
        let Some(pairs) = pairs else {
            return Err(Failure::option("days", "beside it the number of pairs, as --pairs 400M", "none"));
        };
        let seconds = days * DAY / workload.steps(pairs) as f64;
        Ok((Pace::Asked(seconds), format!("what {days} days leave beside the exchanges")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bench(batch: usize, seconds: f64, options: Value) -> Value {
        let config: Value = serde_json::from_str(&ClipConfig::preset("ViT-B-32").unwrap().to_json()).unwrap();
        json!({"type": "bench", "config": config, "options": options, "batchSize": batch, "captionTokens": 16,
            "device": {"kind": "cpu", "reason": "as requested", "threads": 2}, "step": {"medianSeconds": seconds}})
    }

    fn workload(options: &str) -> Workload {
        let options = RunOptions::from_json(options).unwrap();
        Workload::new(&ClipConfig::preset("ViT-B-32").unwrap(), &options, 1, Some(16)).unwrap()
    }

    fn figures(text: &str, options: &str) -> Result<Figures> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.json");
        std::fs::write(&path, text).unwrap();
        let arguments = FigureArgs {
            measured: vec![path],
            pairs_per_second: None,
            days: None,
            link: None,
            bandwidth: None,
            latency: None,
            host_bandwidth: None,
        };
        Figures::read(&arguments, &workload(options), None)
    }

    fn seconds(text: &str, options: &str) -> f64 {
        let Pace::Speed(speed) = figures(text, options).unwrap().pace else { panic!() };
        speed.seconds(workload(options).step_flops())
    }

    #[test]
    fn a_measured_batch_becomes_another_by_its_operations() {
        let one = bench(64, 2.0, json!({"batchSize": "64"})).to_string();
        assert!((seconds(&one, r#"{"batchSize": 64}"#) - 2.0).abs() < 1e-9);
        let twice = seconds(&one, r#"{"batchSize": 128}"#);
        assert!((4.0..4.01).contains(&twice), "{twice}");
        // a second forward pass
        let cached = seconds(&one, r#"{"batchSize": 64, "microBatchSize": 16}"#);
        assert!((2.6..2.7).contains(&cached), "{cached}");
        // a warning before it, and a second batch size: 1 s in each step
        let two = format!("{{\"type\": \"warning\"}}\n{one}\n{}", bench(128, 3.0, json!({})));
        let four = seconds(&two, r#"{"batchSize": 256}"#);
        assert!((4.9..5.1).contains(&four), "{four}");
    }

    #[test]
    fn figures_of_something_else_are_refused() {
        let refused = |text: String, options: &str, expected: &str| {
            let error = figures(&text, options).unwrap_err();
            assert!(error.code == "invalid-option" && error.message.contains(expected), "{error}");
        };
        let whole = r#"{"batchSize": 64}"#;
        refused(bench(64, 2.0, json!({})).to_string(), r#"{"precision": "f16"}"#, "a step in f16, got f32");
        let bf16 = bench(64, 2.0, json!({"precision": "bf16"}));
        refused(bf16.to_string(), r#"{"precision": "f16"}"#, "a step in f16, got bf16");
        refused("{\"type\": \"link\"}".into(), whole, "no event bench");
        refused("bench".into(), whole, "bench --json");
        let mut other = bench(64, 2.0, json!({}));
        other["config"]["embedDim"] = 8.into();
        refused(other.to_string(), whole, "the same model");
        let mut no_step = bench(64, 2.0, json!({}));
        no_step.as_object_mut().unwrap().remove("step");
        refused(no_step.to_string(), whole, "--no-step");
        let mut old = bench(64, 2.0, json!({}));
        old.as_object_mut().unwrap().remove("captionTokens");
        refused(old.to_string(), whole, "captionTokens");
    }
}
