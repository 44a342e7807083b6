//! `clipwright plan`: memory, communication and time of a run on many GPUs, before it is run. The model is clip-core's.

mod figures;
mod report;

use std::path::PathBuf;

use clip_core::config::ClipConfig;
use clip_core::train::RunOptions;
use clip_core::train::scale::Workload;
use serde_json::{Map, Value};

use self::figures::Figures;
use self::report::Report;
use super::pairs::{set, text};
use super::train::{FitArgs, over_file};
use crate::exit::{Failure, Result, above_0};
use crate::output::Output;
use crate::quantity::{COUNT, FLOPS, MEMORY};

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Processes that share each batch, each with a GPU or another device
    #[arg(long, alias = "ranks", value_name = "N")]
    gpus: usize,
    /// TOML file of the run, as train takes it; flags take precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Shape and hyperparameters of the CLIP paper: vit-b-32, vit-b-16 or vit-l-14
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Shape of a published model: ViT-B-32, ViT-B-16 or ViT-L-14
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Size of the vocabulary, where [config] leaves it to the captions: train's event start says it
    #[arg(long, value_name = "N")]
    vocab_size: Option<usize>,
    /// Tokens of the longest caption of a batch, to which all are cut [default: the context length]
    #[arg(long, value_name = "N")]
    caption_tokens: Option<usize>,
    /// Pairs of the data set, as 400M: how long all epochs take
    #[arg(long, value_name = "COUNT")]
    pairs: Option<String>,
    /// Memory of a GPU, as 80GB: whether the step fits, and how many pairs at once
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Operations a second of a GPU at most, as 125TFLOP/s: which share of them is used
    #[arg(long, value_name = "SPEED")]
    peak: Option<String>,
    #[command(flatten)]
    figures: figures::FigureArgs,
    #[command(flatten)]
    fit: FitArgs,
}

impl PlanArgs {
    fn workload(&self) -> Result<Workload> {
        let mut flags = Map::new();
        set(&mut flags, "preset", text(&self.preset));
        set(&mut flags, "model", text(&self.model));
        let fit = self.fit.settings()?;
        set(&mut flags, "fit", (!fit.is_empty()).then_some(fit));
        let settings = over_file(self.config.as_deref(), flags)?;
        let shape = settings.shape()?.ok_or_else(|| {
            let message = "no model: name one by --model or --preset, or its shape by [config] in a --config file";
            Failure::new("invalid-config", message)
        })?;
        let mut config = ClipConfig::from_json(&shape)?;
        if let Some(size) = self.vocab_size {
            config.text.vocab_size = above_0("vocabSize", size)?;
        } else if config.text.vocab_size == 0 {
            let expected = "a number, as [config] leaves it to the captions: train's event start says it";
            return Err(Failure::option("vocabSize", expected, "none"));
        }
        let options = RunOptions::from_json(&Value::from(settings.run_options()?).to_string())?;
        Ok(Workload::new(&config, &options, above_0("gpus", self.gpus)?, self.caption_tokens)?)
    }

    fn report(&self) -> Result<Report> {
        let workload = self.workload()?;
        let pairs = COUNT.given("pairs", &self.pairs)?.map(|pairs| pairs as usize);
        let figures = Figures::read(&self.figures, &workload, pairs)?;
        let memory = MEMORY.given("memory", &self.memory)?.map(|bytes| bytes as u64);
        let peak = FLOPS.given("peak", &self.peak)?;
        Report::new(&workload, &figures, pairs, memory, peak)
    }
}

/// Runs the command.
///
/// # Errors
/// `invalid-option`, `invalid-config`, `batch-too-small`; `source-unreadable` for a file of measured figures.
pub fn run(arguments: &PlanArgs, output: &Output) -> Result<()> {
    let report = arguments.report()?;
    output.event(&report);
    output.result(&report.to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::commands::{Cli, Command};
    use crate::flags::name_flag;

    fn report(flags: &str) -> Result<Value> {
        let cli = Cli::try_parse_from(["clipwright", "plan"].into_iter().chain(flags.split_whitespace())).unwrap();
        let Command::Plan(arguments) = cli.command else { panic!("another command") };
        arguments.report().map(|report| json!(report)).map_err(name_flag::<PlanArgs>)
    }

    const PAPER: &str = "--gpus 256 --model L/14 --batch 32768 --pairs 400M --epochs 32 --precision f16 \
                         --activation-checkpointing --bandwidth 12.5GB/s --latency 5us";

    #[test]
    fn the_run_of_the_paper_is_foretold() {
        let plan = report(&format!("{PAPER} --days 12 --peak 125TFLOP/s")).unwrap();
        assert_eq!((&plan["ranks"], &plan["pairsPerRank"]), (&256.into(), &128.into()));
        assert_eq!(plan["run"]["steps"], 390_624);
        let share = plan["step"]["shareOfPeak"].as_f64().unwrap();
        // 48 pairs a second and GPU, five passes of 175 GFLOP each, beside half a second of exchanges
        assert!((0.34..0.45).contains(&share), "{share}");
        // there and back
        let rate = plan["step"]["devicePairsPerSecond"].as_f64().unwrap();
        let again = report(&format!("{PAPER} --pairs-per-second {rate}")).unwrap();
        assert!((again["run"]["days"].as_f64().unwrap() - 12.0).abs() < 1e-6, "{again}");
        assert!(again["step"]["efficiency"].as_f64().unwrap() > 0.75);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let assumed = |flags: &str| report(flags).unwrap()["assumed"].to_string();
        let alone = assumed("--gpus 1 --model ViT-B-32 --batch-size 64 --pairs-per-second 10");
        assert!(!alone.contains("--bandwidth") && alone.contains("77 tokens"), "{alone}");
        let pair = assumed("--gpus 2 --model ViT-B-32 --batch-size 64");
        assert!(pair.contains("--bandwidth") && pair.contains("--measured"), "{pair}");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let fitting = |memory: &str| report(&format!("{PAPER} --memory {memory}")).unwrap()["fits"].clone();
        assert_eq!(fitting("80GB")["fits"], true);
        let tight = fitting("8GB");
        assert_eq!(tight["fits"], false);
        assert!((1..128).contains(&tight["mostPairsAtOnce"].as_u64().unwrap()), "{tight}");
        assert_eq!(fitting("1GB")["mostPairsAtOnce"], 0);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (flags, code, expected) in [
            ("--gpus 0 --model ViT-B-32", "invalid-option", "gpus (--gpus): expected a whole number above 0"),
            ("--gpus 3 --model ViT-B-32 --batch-size 64", "invalid-option", "a multiple of the 3 ranks"),
            ("--gpus 1 --model ViT-H-14", "invalid-option", "ViT-B-32, ViT-B-16, ViT-L-14"),
            ("--gpus 1", "invalid-config", "--model"),
            ("--gpus 2 --model ViT-B-32 --bandwidth 100 --latency 1us", "invalid-option", "100Gbit/s or 12.5GB/s"),
            ("--gpus 2 --model ViT-B-32 --bandwidth 1GB/s --latency 1", "invalid-option", "(--latency)"),
            ("--gpus 2 --model ViT-B-32 --pairs 4m", "invalid-option", "(--pairs)"),
            ("--gpus 2 --model ViT-B-32 --days 12", "invalid-option", "--pairs"),
            ("--gpus 2 --model ViT-B-32 --measured none.json", "source-unreadable", "none.json"),
            ("--gpus 1 --model ViT-B-32 --batch-size 1", "batch-too-small", "2 pairs"),
            ("--gpus 1 --model ViT-B-32 --caption-tokens 99", "invalid-option", "context length of 77"),
            (
                "--gpus 256 --model ViT-L-14 --batch-size 32768 --pairs 400M --epochs 32 --days 1 --bandwidth 1Gbit/s --latency 1us",
                "invalid-option",
                "exchanges alone",
            ),
        ] {
            let error = report(flags).unwrap_err();
            assert!(error.code == code && error.message.contains(expected), "{flags}: {error}");
        }
    }
}
