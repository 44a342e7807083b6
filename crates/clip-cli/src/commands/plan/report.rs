//! What `plan` says, as JSON and for people.

use core::fmt::{Display, Formatter, Result as Written};

use clip_core::model::MatmulPrecision;
use clip_core::train::scale::{Exchanges, Memory, Phase, Workload};
use clip_core::train::{Exchange, RunOptions, Traffic};
use serde::Serialize;

use super::figures::{DAY, Figures, Pace};
use crate::exit::{Failure, Result};
use crate::output::{count, size};
use crate::ranks::Processes;

/// A plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "plan")]
pub(super) struct Report {
    ranks: usize,
    batch_size: usize,
    pairs_per_rank: usize,
    pairs_at_once: usize,
    precision: &'static str,
    activation_checkpointing: bool,
    caption_tokens: usize,
    parameters: u64,
    trained: u64,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    fits: Option<Fits>,
    exchanged: Traffic,
    exchanges: Vec<Part>,
    step: Step,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// Where the speed of a device comes from.
    source: String,
    assumed: Vec<String>,
}

/// Whether a step fits a device.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fits {
    memory: u64,
    fits: bool,
    /// Largest micro-batch that fits; 0 if none does.
    most_pairs_at_once: usize,
}

/// Exchanges of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    what: &'static str,
    #[serde(flatten)]
    traffic: Traffic,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// Times of a step; none without figures.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    flops: f64,
    compute_seconds: Option<f64>,
    exchange_seconds: Option<f64>,
    copied_bytes: u64,
    copy_seconds: Option<f64>,
    /// Sum of those that are known.
    seconds: Option<f64>,
    /// Of all ranks.
    pairs_per_second: Option<f64>,
    /// Of a device that trains alone, with the share of pairs of a rank.
    device_pairs_per_second: Option<f64>,
    /// Speed of a rank over that of a device alone.
    efficiency: Option<f64>,
    flops_per_second: Option<f64>,
    share_of_peak: Option<f64>,
}

/// The whole run.
#[derive(Debug, Serialize)]
struct Run {
    pairs: usize,
    epochs: usize,
    steps: u64,
    days: Option<f64>,
}

/// All exchanges of a step, by what they are for.
fn parts(workload: &Workload) -> Vec<(&'static str, Vec<Exchange>)> {
    if workload.ranks() == 1 {
        return Vec::new();
    }
    let Exchanges { features, feature_gradients, gradients, mut figures } = workload.exchanges();
    figures.push(Processes::signals());
    let parts = [
        ("features", features),
        ("gradients at the features", feature_gradients),
        ("gradients of the weights", gradients),
        ("loss, norm, signals", figures),
    ];
    parts.into_iter().filter(|(_, exchanges)| !exchanges.is_empty()).collect()
}

impl Step {
    fn new(workload: &Workload, exchanges: &[Exchange], figures: &Figures, peak: Option<f64>) -> Result<Self> {
        let flops = workload.step_flops();
        let copied_bytes = workload.copied_bytes(exchanges);
        let exchange_seconds = figures.link.map(|link| workload.exchange_seconds(exchanges, link));
        let copy_seconds = figures.host.map(|speed| copied_bytes as f64 / speed);
        let beside = exchange_seconds.unwrap_or(0.0) + copy_seconds.unwrap_or(0.0);
        let compute_seconds = match figures.pace {
            Pace::Speed(speed) => Some(speed.seconds(flops)),
            Pace::Asked(seconds) if seconds > beside => Some(seconds - beside),
            Pace::Asked(seconds) => {
                let expected = format!("more days: exchanges alone take {beside:.3} s of a step");
                return Err(Failure::option("days", &expected, format!("{seconds:.3} s a step")));
            }
            Pace::Unknown => None,
        };
        let Some(compute) = compute_seconds else {
            return Ok(Self { flops, exchange_seconds, copied_bytes, copy_seconds, ..Self::default() });
        };
        let alone = match figures.pace {
            Pace::Speed(speed) => speed.seconds(workload.alone().step_flops()),
            _ => compute * workload.alone().step_flops() / flops,
        };
        let seconds = compute + beside;
        let is_whole = workload.ranks() == 1 || exchange_seconds.is_some();
        Ok(Self {
            flops,
            compute_seconds,
            exchange_seconds,
            copied_bytes,
            copy_seconds,
            seconds: Some(seconds),
            pairs_per_second: Some(workload.options().batch_size as f64 / seconds),
            device_pairs_per_second: Some(workload.own() as f64 / alone),
            efficiency: is_whole.then_some(alone / seconds),
            flops_per_second: Some(flops / compute),
            share_of_peak: peak.map(|peak| flops / compute / peak),
        })
    }
}

impl Fits {
    fn new(workload: &Workload, memory: u64) -> Self {
        let fits = |pairs: usize| workload.with_micro_batch(pairs).memory().peak <= memory;
        let (mut least, mut above) = (0, workload.own() + 1);
        // the largest that fits
        while above - least > 1 {
            let middle = least.midpoint(above);
            if fits(middle) { least = middle } else { above = middle }
        }
        Self { memory, fits: workload.memory().peak <= memory, most_pairs_at_once: least }
    }
}

/// What the figures leave out or take for granted.
fn assumed(workload: &Workload, figures: &Figures, step: &Step) -> Vec<String> {
    let RunOptions { precision, lock, .. } = *workload.options();
    let mut list = vec![
        format!("the longest caption of a batch has {} tokens (--caption-tokens)", workload.caption_tokens()),
        "memory is that of a step's tensors: without the program, images held between steps (--image-memory) and what an \
         allocator keeps"
            .into(),
    ];
    if precision != MatmulPrecision::F32 {
        list.push(format!("activations in {precision} are those of a GPU; weights, moments and exchanges are f32"));
    }
    if lock.is_some() {
        list.push("features of the locked tower are there: the first epoch computes them".into());
    }
    match figures.pace {
        Pace::Unknown => list.push(
            "no time is foretold: give --measured, the output of clipwright bench --json, or --pairs-per-second; or --days, for the \
             speed that a run needs"
                .into(),
        ),
        _ => list.push("images are decoded in time, and all ranks are equally fast".into()),
    }
    if workload.ranks() > 1 {
        match figures.link {
            None => list.push("exchanges take no time: give --bandwidth and --latency, or --link".into()),
            Some(_) => list.push("exchanges and computation take turns, as in the run".into()),
        }
        if figures.host.is_none() {
            let bytes = size(step.copied_bytes);
            list.push(format!(
                "copies between a device and its host, {bytes} a step, take no time: for a GPU give --host-bandwidth"
            ));
        }
    }
    list
}

impl Report {
    /// Makes a plan.
    ///
    /// # Errors
    /// `invalid-option` for days in which not even the exchanges can be made.
    pub(super) fn new(
        workload: &Workload,
        figures: &Figures,
        pairs: Option<usize>,
        memory: Option<u64>,
        peak: Option<f64>,
    ) -> Result<Self> {
        let RunOptions { batch_size, epochs, precision, activation_checkpointing, .. } = *workload.options();
        let (ranks, parts) = (workload.ranks(), parts(workload));
        let all: Vec<Exchange> = parts.iter().flat_map(|(_, exchanges)| exchanges).copied().collect();
        let step = Step::new(workload, &all, figures, peak)?;
        let part = |(what, exchanges): (&'static str, Vec<Exchange>)| Part {
            what,
            traffic: Traffic::of(&exchanges, ranks),
            seconds: figures.link.map(|link| workload.exchange_seconds(&exchanges, link)),
        };
        let run = pairs.map(|pairs| {
            let steps = workload.steps(pairs);
            Run { pairs, epochs, steps, days: step.seconds.map(|seconds| seconds * steps as f64 / DAY) }
        });
        Ok(Self {
            ranks,
            batch_size,
            pairs_per_rank: workload.own(),
            pairs_at_once: workload.at_once(),
            precision: precision.name(),
            activation_checkpointing,
            caption_tokens: workload.caption_tokens(),
            parameters: workload.parameters(),
            trained: workload.trained(),
            memory: workload.memory(),
            fits: memory.map(|memory| Fits::new(workload, memory)),
            exchanged: Traffic::of(&all, ranks),
            exchanges: parts.into_iter().map(part).collect(),
            assumed: assumed(workload, figures, &step),
            step,
            run,
            source: figures.source.clone(),
        })
    }
}

/// A duration of a step for people.
fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.2} ms", 1e3 * seconds) } else { format!("{seconds:.3} s") }
}

fn row(f: &mut Formatter<'_>, name: &str, value: &str, note: &str) -> Written {
    let line = format!("  {name:<28}{value:>12}  {note}");
    writeln!(f, "{}", line.trim_end())
}

impl Report {
    fn write_memory(&self, f: &mut Formatter<'_>) -> Written {
        let Memory {
            parameters, optimizer, average, gradients, activations, logits, features, images, exchange, ..
        } = self.memory;
        writeln!(f, "\nMemory of a GPU")?;
        let at_once = format!("{} pairs at once", count(self.pairs_at_once as u64));
        let rows = format!("{} × {} logits", count(self.pairs_at_once as u64), count(self.batch_size as u64));
        for (name, bytes, note) in [
            ("weights", parameters, format!("{} parameters", count(self.parameters))),
            ("optimiser", optimizer, format!("{} trained", count(self.trained))),
            ("moving average", average, String::new()),
            ("gradients", gradients, String::new()),
            ("activations", activations, at_once),
            ("loss", logits, rows),
            ("features of the batch", features, String::new()),
            ("images", images, String::new()),
            ("buffers of exchanges", exchange, String::new()),
        ] {
            if bytes > 0 {
                row(f, name, &size(bytes), &note)?;
            }
        }
        let phase = match self.memory.peak_in {
            Phase::Loss => "in the loss",
            Phase::Backward => "as the backward pass begins",
            Phase::Gradients => "as the backward pass ends",
            Phase::Exchange => "as gradients are summed",
        };
        row(f, "most at once", &size(self.memory.peak), phase)?;
        let Some(Fits { memory, fits, most_pairs_at_once: most }) = self.fits else { return Ok(()) };
        let verdict = match (fits, most) {
            (true, _) => "it fits".to_owned(),
            (false, 0) => "it does not fit, however few pairs at once".into(),
            (false, most) => format!("it does not fit; --micro-batch-size {most} does"),
        };
        row(f, "memory of the GPU", &size(memory), &verdict)
    }

    fn write_exchanges(&self, f: &mut Formatter<'_>) -> Written {
        if self.exchanges.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nSent by a GPU in a step")?;
        for Part { what, traffic, seconds: time } in &self.exchanges {
            let time = time.map_or(String::new(), |time| format!(", {}", seconds(time)));
            row(f, what, &size(traffic.sent_bytes), &format!("{} exchanges{time}", traffic.exchanges))?;
        }
        let Traffic { exchanges, handed_bytes, sent_bytes } = self.exchanged;
        let note = format!("{exchanges} exchanges of {} handed to MPI", size(handed_bytes));
        row(f, "together", &size(sent_bytes), &note)
    }

    fn write_step(&self, f: &mut Formatter<'_>) -> Written {
        writeln!(f, "\nStep")?;
        let Step { flops, compute_seconds, exchange_seconds, copy_seconds, .. } = self.step;
        row(f, "operations of a GPU", &format!("{:.2} TFLOP", flops / 1e12), "")?;
        if let (Some(compute), Some(speed)) = (compute_seconds, self.step.flops_per_second) {
            let share =
                self.step.share_of_peak.map_or(String::new(), |share| format!(", {:.1} % of its peak", 100.0 * share));
            row(
                f,
                "computation",
                &seconds(compute),
                &format!("{:.3} TFLOP/s a GPU{share}; {}", speed / 1e12, self.source),
            )?;
        }
        if let Some(exchange) = exchange_seconds.filter(|_| self.ranks > 1) {
            row(f, "exchanges", &seconds(exchange), "")?;
        }
        if let Some(copy) = copy_seconds.filter(|_| self.ranks > 1) {
            row(f, "copies from and to the host", &seconds(copy), &size(self.step.copied_bytes))?;
        }
        let (Some(time), Some(rate), Some(device)) =
            (self.step.seconds, self.step.pairs_per_second, self.step.device_pairs_per_second)
        else {
            return Ok(());
        };
        row(f, "together", &seconds(time), &format!("{rate:.1} pairs a second"))?;
        if let Some(efficiency) = self.step.efficiency {
            let note = format!("of a GPU alone, {device:.2} pairs a second");
            row(f, "efficiency", &format!("{:.1} %", 100.0 * efficiency), &note)?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        let [batch, own] = [self.batch_size, self.pairs_per_rank].map(|number| count(number as u64));
        let recomputed = if self.activation_checkpointing { ", activation checkpointing" } else { "" };
        writeln!(f, "batches of {batch} pairs on {} GPUs, {own} each; {}{recomputed}", self.ranks, self.precision)?;
        self.write_memory(f)?;
        self.write_exchanges(f)?;
        self.write_step(f)?;
        if let Some(Run { pairs, epochs, steps, days }) = self.run {
            writeln!(f, "\nRun")?;
            let note = format!("{epochs} epochs of {} pairs", count(pairs as u64));
            row(f, "steps", &count(steps), &note)?;
            if let Some(days) = days {
                let gpu_hours = count((24.0 * days * self.ranks as f64).round() as u64);
                row(f, "days", &format!("{days:.2}"), &format!("{gpu_hours} GPU hours"))?;
            }
        }
        write!(f, "\nAssumed")?;
        self.assumed.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}
