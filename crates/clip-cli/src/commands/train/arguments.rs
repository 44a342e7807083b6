//! Flags of `clipwright train`: the options of the package, and OpenCLIP's names for them.

use std::path::{Path, PathBuf};

use clap::Args;
use clip_core::config::ClipConfig;
use clip_core::train::RunOptions;
use serde_json::{Map, Value};

use super::preset::over_preset;
use crate::commands::pairs::{PairArgs, set, text};
use crate::config::Settings;
use crate::exit::{Failure, Result};

/// Arguments of `train`.
#[derive(Debug, Default, Args)]
pub struct TrainArgs {
    /// TOML file with these settings; flags take precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Model")]
struct ModelArgs {
    /// Shape and hyperparameters of the CLIP paper; all other settings take precedence: vit-b-32, vit-b-16 or vit-l-14
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Shape of a published model, with fresh weights: ViT-B-32, ViT-B-16 or ViT-L-14, or as ViT-B-32-quickgelu
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Checkpoint to fine-tune, or training state whose weights begin a new run
    #[arg(long, alias = "pretrained", value_name = "PATH")]
    from: Option<String>,
    /// LoRA adapter (PEFT's files) to merge into --from first
    #[arg(long, value_name = "PATH")]
    adapter: Option<String>,
    /// Reference tokenizer to follow: open_clip, openai, hf or hf_normalized
    #[arg(long, value_name = "NAME")]
    tokenizer: Option<String>,
    /// merges.txt of another byte-pair encoding
    #[arg(long, value_name = "FILE")]
    merges: Option<String>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// Folders, tables or tar files, as shards-{000..123}.tar, also by https:// or s3://; :: separates several
    #[arg(long, value_name = "PATHS")]
    train_data: Vec<String>,
    /// Pairs to evaluate retrieval on
    #[arg(long, value_name = "PATHS")]
    val_data: Vec<String>,
    /// Folder of images to classify, a subfolder a class
    #[arg(long, alias = "imagenet-val", value_name = "FOLDER")]
    classify: Option<String>,
    /// Names of the classes, one a line, in the order of the subfolders [default: the subfolders' names]
    #[arg(long, value_name = "FILE")]
    class_names: Option<String>,
    /// openai (80 templates), simple (7), or a caption with {} in place of the label [default: openai]
    #[arg(long, value_name = "TEMPLATE")]
    templates: Vec<String>,
    #[command(flatten)]
    pairs: PairArgs,
    /// Threads that decode and crop images beside the step [default: one a core, at most 4]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Megabytes of images to train on that are held in memory; those of more pairs are read again for each step [default: 8000]
    #[arg(long, value_name = "MB")]
    image_memory: Option<String>,
}

/// Options of a run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub(in crate::commands) struct FitArgs {
    /// Pairs a step [default: 256]
    #[arg(long, alias = "batch", value_name = "N")]
    batch_size: Option<String>,
    /// Pairs whose activations are in memory at once (GradCache)
    #[arg(long, value_name = "N")]
    micro_batch_size: Option<String>,
    /// OpenCLIP's gradient accumulation: batches per step, each in memory alone
    #[arg(long, value_name = "N", conflicts_with = "micro_batch_size", requires = "batch_size")]
    accum_freq: Option<String>,
    /// Recompute activations instead of keeping them
    #[arg(long, alias = "grad-checkpointing")]
    activation_checkpointing: bool,
    /// Passes over the pairs [default: 20]
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Learning rate after the warm-up [default: 1e-3]
    #[arg(long, value_name = "RATE")]
    lr: Option<String>,
    /// Steps of linear warm-up [default: 50]
    #[arg(long, value_name = "N")]
    warmup: Option<String>,
    /// cosine, linear or constant [default: cosine]
    #[arg(long, alias = "lr-scheduler", value_name = "NAME")]
    schedule: Option<String>,
    /// AdamW's decay of the first moment [default: 0.9]
    #[arg(long, value_name = "RATE")]
    beta1: Option<String>,
    /// AdamW's decay of the second moment [default: 0.98]
    #[arg(long, value_name = "RATE")]
    beta2: Option<String>,
    /// AdamW's term in the denominator [default: 1e-6]
    #[arg(long, alias = "eps", value_name = "NUMBER")]
    epsilon: Option<String>,
    /// Decoupled weight decay [default: 0.2]
    #[arg(long, alias = "wd", value_name = "RATE")]
    weight_decay: Option<String>,
    /// Train the blocks' matrices by Muon, with this learning rate
    #[arg(long, value_name = "RATE")]
    muon_lr: Option<String>,
    /// Muon's momentum [default: 0.95]
    #[arg(long, value_name = "RATE")]
    muon_momentum: Option<String>,
    /// Muon's weight decay [default: 0.1]
    #[arg(long, value_name = "RATE")]
    muon_weight_decay: Option<String>,
    /// Clip the global norm of the gradients to this
    #[arg(long, alias = "grad-clip-norm", value_name = "NORM")]
    clip_norm: Option<String>,
    /// Label smoothing, from 0 to below 1
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<String>,
    /// Leave pairs with the same caption out of each other's negatives
    #[arg(long)]
    mask_duplicates: bool,
    /// Freeze a tower: image or text
    #[arg(long, value_name = "TOWER")]
    lock: Option<String>,
    /// OpenCLIP's name of --lock image
    #[arg(long, conflicts_with_all = ["lock", "lock_text"])]
    lock_image: bool,
    /// OpenCLIP's name of --lock text
    #[arg(long, conflicts_with = "lock")]
    lock_text: bool,
    /// Train only the last N blocks of each tower
    #[arg(long, value_name = "N")]
    last_blocks: Option<String>,
    /// Train low-rank adapters of this rank
    #[arg(long, value_name = "RANK", requires = "lora_alpha")]
    lora_rank: Option<String>,
    /// Scale of the adapters, divided by their rank
    #[arg(long, value_name = "ALPHA", requires = "lora_rank")]
    lora_alpha: Option<String>,
    /// Crop images anew in each epoch
    #[arg(long)]
    augment: bool,
    /// Smallest and largest share of an image's area in a crop, as 0.9,1
    #[arg(long, value_name = "LEAST,MOST")]
    augment_scale: Option<String>,
    /// Probability of a horizontal flip [default: 0]
    #[arg(long, value_name = "SHARE")]
    augment_flip: Option<String>,
    /// Precision of the blocks' matrix products beside f32 weights: f32, f16 with a scaled loss, or bf16 [default: f32]
    #[arg(long, value_name = "NAME")]
    precision: Option<String>,
    /// Share of an image's patches that a step drops (FLIP)
    #[arg(long, alias = "force-patch-dropout", value_name = "SHARE")]
    patch_dropout: Option<String>,
    /// Decay of the moving average of the weights
    #[arg(long, value_name = "RATE")]
    ema_decay: Option<String>,
    /// Seed of the weights and of everything random in the run [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<String>,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Run")]
struct RunArgs {
    /// Folder of runs [default: logs]
    #[arg(long, value_name = "FOLDER")]
    logs: Option<String>,
    /// Name of the run, a folder in it [default: run]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Resume from a training state, or from `latest`, this run's own; without one a new run begins
    #[arg(long, value_name = "STATE")]
    resume: Option<String>,
    /// Save the state every N steps, too
    #[arg(long, value_name = "N")]
    save_steps: Option<String>,
    /// Keep the state of every N-th epoch [default: only the latest]
    #[arg(long, value_name = "N")]
    save_frequency: Option<String>,
    /// Evaluate every N epochs [default: 1]
    #[arg(long, value_name = "N")]
    val_frequency: Option<String>,
    /// Write event files of TensorBoard, too: tensorboard
    #[arg(long, value_name = "NAME")]
    report_to: Option<String>,
    /// Layout of the model that is written at the end: hf or open_clip [default: hf]
    #[arg(long, value_name = "LAYOUT")]
    export: Option<String>,
    /// auto, cpu, webgpu, cuda or cuda:N [default: auto]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Number of the GPU, from 0, where there are several [default: shared out among the ranks of a machine]
    #[arg(long, value_name = "N")]
    gpu: Option<String>,
    /// Threads of the CPU [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
}

/// Sets a table where any of its values was given.
fn table(map: &mut Map<String, Value>, name: &str, values: &[(&str, Option<Value>)]) {
    let given: Map<String, Value> =
        values.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect();
    set(map, name, (!given.is_empty()).then_some(given));
}

/// The pairs of a step of `times` batches.
fn accumulated(batch: &str, times: &str) -> Result<String> {
    let number = |name: &str, text: &str| {
        let number = text.parse::<u32>().ok().filter(|&number| number > 0);
        number.ok_or_else(|| Failure::option(name, "a whole number above 0", text))
    };
    let (batch, times) = (number("batchSize", batch)?, number("accumFreq", times)?);
    let most = u32::MAX / batch;
    let product = batch.checked_mul(times).map(|product| product.to_string());
    product.ok_or_else(|| Failure::option("accumFreq", &format!("at most {most} batches of {batch}"), times))
}

impl FitArgs {
    /// The options that were given, by the names of the TypeScript options.
    ///
    /// # Errors
    /// `invalid-option`.
    pub(in crate::commands) fn settings(&self) -> Result<Map<String, Value>> {
        let mut fit = Map::new();
        for (name, value) in [
            ("epochs", &self.epochs),
            ("lr", &self.lr),
            ("warmup", &self.warmup),
            ("beta1", &self.beta1),
            ("beta2", &self.beta2),
            ("epsilon", &self.epsilon),
            ("weightDecay", &self.weight_decay),
            ("clipNorm", &self.clip_norm),
            ("labelSmoothing", &self.label_smoothing),
            ("lastBlocks", &self.last_blocks),
            ("patchDropout", &self.patch_dropout),
            ("emaDecay", &self.ema_decay),
            ("seed", &self.seed),
        ] {
            set(&mut fit, name, text(value));
        }
        match (&self.batch_size, &self.accum_freq) {
            (Some(batch), Some(times)) => {
                set(&mut fit, "batchSize", Some(accumulated(batch, times)?));
                set(&mut fit, "microBatchSize", text(&self.batch_size));
            }
            _ => {
                set(&mut fit, "batchSize", text(&self.batch_size));
                set(&mut fit, "microBatchSize", text(&self.micro_batch_size));
            }
        }
        set(&mut fit, "activationCheckpointing", self.activation_checkpointing.then_some(true));
        set(&mut fit, "maskDuplicates", self.mask_duplicates.then_some(true));
        let schedule = self.schedule.as_deref().map(|name| if name == "const" { "constant" } else { name });
        set(&mut fit, "schedule", schedule);
        set(&mut fit, "precision", self.precision.as_deref().map(precision).transpose()?);
        let lock = self.lock.as_deref().or(self.lock_image.then_some("image")).or(self.lock_text.then_some("text"));
        set(&mut fit, "lock", lock);
        let muon = [
            ("lr", text(&self.muon_lr)),
            ("momentum", text(&self.muon_momentum)),
            ("weightDecay", text(&self.muon_weight_decay)),
        ];
        table(&mut fit, "muon", &muon);
        table(&mut fit, "lora", &[("rank", text(&self.lora_rank)), ("alpha", text(&self.lora_alpha))]);
        let scale = self.augment_scale.as_ref().map(|pair| pair.split(',').map(str::trim).collect::<Value>());
        if self.augment {
            set(&mut fit, "augment", Some(Map::new()));
        }
        table(&mut fit, "augment", &[("scale", scale), ("flip", text(&self.augment_flip))]);
        Ok(fit)
    }
}

/// The precision by OpenCLIP's names, too.
///
/// # Errors
/// `invalid-option`.
pub(in crate::commands) fn precision(name: &str) -> Result<&'static str> {
    match name {
        "f32" | "fp32" => Ok("f32"),
        "f16" | "amp" => Ok("f16"),
        "bf16" | "amp_bf16" | "amp_bfloat16" => Ok("bf16"),
        other => {
            let expected = "f32 (OpenCLIP's fp32), f16 (amp) or bf16 (amp_bf16), with weights in f32; those of fp16, pure_fp16 and \
                            pure_bf16 are not, which is not supported";
            Err(Failure::option("precision", expected, other))
        }
    }
}

impl TrainArgs {
    /// The settings of the file with the flags over them.
    ///
    /// # Errors
    /// Those of [`Settings::read`]; `invalid-option`.
    pub(super) fn settings(&self) -> Result<Settings> {
        let (model, data, run) = (&self.model, &self.data, &self.run);
        let mut flags = Map::new();
        for (name, value) in [
            ("model", &model.model),
            ("from", &model.from),
            ("adapter", &model.adapter),
            ("tokenizer", &model.tokenizer),
            ("merges", &model.merges),
            ("seed", &self.fit.seed),
            ("preset", &model.preset),
            ("classify", &data.classify),
            ("classNames", &data.class_names),
            ("workers", &data.workers),
            ("imageMemory", &data.image_memory),
            ("logs", &run.logs),
            ("name", &run.name),
            ("resume", &run.resume),
            ("saveSteps", &run.save_steps),
            ("saveFrequency", &run.save_frequency),
            ("valFrequency", &run.val_frequency),
            ("export", &run.export),
            ("reportTo", &run.report_to),
            ("device", &run.device),
            ("gpu", &run.gpu),
            ("threads", &run.threads),
        ] {
            set(&mut flags, name, text(value));
        }
        let list = |paths: &[String]| (!paths.is_empty()).then(|| Value::from(paths.to_vec()));
        set(&mut flags, "trainData", list(&data.train_data));
        set(&mut flags, "valData", list(&data.val_data));
        set(&mut flags, "templates", list(&data.templates));
        let mut fit = self.fit.settings()?;
        data.pairs.set(&mut flags, &mut fit);
        set(&mut flags, "fit", (!fit.is_empty()).then_some(fit));
        over_file(self.config.as_deref(), flags)
    }
}

/// The settings of a file with flags over them, and both over those of a preset.
///
/// # Errors
/// Those of [`Settings::read`]; `invalid-option`.
pub(in crate::commands) fn over_file(path: Option<&Path>, flags: Map<String, Value>) -> Result<Settings> {
    let file = path.map(Settings::read).transpose()?.unwrap_or_default();
    let settings = file.clone().with(flags);
    if let Some(path) = path {
        blame(path, &file, &settings)?;
    }
    over_preset(settings)
}

/// Checks the shape and the options that a file has, so that their errors name it; other flags may complete or replace them.
fn blame(path: &Path, file: &Settings, settings: &Settings) -> Result<()> {
    let config = file.config().map_or(Ok(()), |json| ClipConfig::from_json(&json).map(drop));
    config.map_err(|error| Failure::from(error).about_path(path))?;
    let options = |settings: &Settings| -> Result<()> {
        Ok(RunOptions::from_json(&Value::from(settings.run_options()?).to_string()).map(drop)?)
    };
    match (options(file), options(settings)) {
        (Err(of_file), Err(error)) if of_file == error => Err(error.about_path(path)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::{Cli, Command};

    fn options(flags: &[&str]) -> Result<Value> {
        let cli = Cli::try_parse_from(["clipwright", "train"].iter().chain(flags)).unwrap();
        let Command::Train(arguments) = cli.command else { panic!("another command") };
        arguments.settings()?.run_options().map(Value::from)
    }

    #[test]
    fn flags_of_open_clip_are_options() {
        let flags = "--batch-size 8 --accum-freq 4 --lr 5e-4 --wd 0.1 --warmup 10 --eps 1e-8 --precision amp --grad-checkpointing \
                     --lock-image --lr-scheduler const --grad-clip-norm 1 --force-patch-dropout 0.5 --seed 3";
        let got = options(&flags.split_whitespace().collect::<Vec<_>>()).unwrap();
        let expected = serde_json::json!({
            "batchSize": "32", "microBatchSize": "8", "lr": "5e-4", "weightDecay": "0.1", "warmup": "10", "epsilon": "1e-8",
            "precision": "f16", "activationCheckpointing": true, "lock": "image", "schedule": "constant", "clipNorm": "1",
            "patchDropout": "0.5", "seed": "3",
        });
        assert_eq!(got, expected);
        let own = [
            "--muon-lr",
            "0.02",
            "--lora-rank",
            "4",
            "--lora-alpha",
            "8",
            "--augment-scale",
            "0.5,1",
            "--augment-flip",
            "0.5",
        ];
        let expected = serde_json::json!({
            "muon": {"lr": "0.02"}, "lora": {"rank": "4", "alpha": "8"}, "augment": {"scale": ["0.5", "1"], "flip": "0.5"},
        });
        assert_eq!(options(&own).unwrap(), expected);
        for (batch, times, expected) in [
            ("0", "2", "batchSize: expected a whole number above 0, got 0"),
            ("x", "2", "batchSize: expected a whole number above 0, got x"),
            ("8", "0", "accumFreq: expected a whole number above 0, got 0"),
            ("65536", "65536", "accumFreq: expected at most 65535 batches of 65536, got 65536"),
        ] {
            let error = options(&["--batch-size", batch, "--accum-freq", times]).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
        assert_eq!(options(&["--augment"]).unwrap(), serde_json::json!({"augment": {}}));
        for (name, expected) in
            [("fp32", "f32"), ("amp", "f16"), ("amp_bf16", "bf16"), ("amp_bfloat16", "bf16"), ("bf16", "bf16")]
        {
            assert_eq!(options(&["--precision", name]).unwrap(), serde_json::json!({"precision": expected}));
        }
        for weights in ["fp16", "pure_fp16", "pure_bf16", "x"] {
            let error = options(&["--precision", weights]).unwrap_err();
            assert!(error.message.contains("bf16 (amp_bf16), with weights in f32"), "{error}");
        }
    }
}
