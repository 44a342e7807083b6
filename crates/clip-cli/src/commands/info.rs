//! `clipwright info`: describes a checkpoint without loading its weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clip_core::checkpoint::{ByteRange, Header};
use clip_core::device::cpu;
use clip_core::model::Towers;
use serde::Serialize;
use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, OpenOptions, is_state};
use crate::exit::Result;
use crate::output::{Output, count, size};

/// Arguments of `info`.
#[derive(Debug, clap::Args)]
pub struct InfoArgs {
    /// Folder or safetensors file of a checkpoint, or a training state
    path: PathBuf,
}

/// Description of a checkpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "info")]
struct Info {
    /// The model's config, as the package's `ClipConfig`.
    config: Value,
    /// Towers whose weights are there: `image`, `text` or `both`.
    towers: &'static str,
    /// Parameters of these towers.
    parameters: u64,
    /// Bytes of their weights in the files.
    bytes: u64,
    /// Number of tensors by their type in the files.
    dtypes: BTreeMap<String, usize>,
    /// Number of safetensors files.
    files: usize,
    /// The tokenizer.
    tokenizer: TokenizerInfo,
    /// The transform of images.
    preprocess: Value,
    /// Warnings about the checkpoint.
    warnings: Vec<String>,
    /// The run of a training state.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenizerInfo {
    /// `CLIP`, the class of another tokenizer, or `none`.
    kind: String,
    /// Number of tokens, if CLIP's.
    vocab_size: Option<usize>,
    /// Tokenizer that is followed, if CLIP's.
    reference: Option<&'static str>,
}

fn dtypes(headers: &[Header]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for tensor in headers.iter().flat_map(|header| header.names().filter_map(|name| header.tensor(name))) {
        *found.entry(tensor.dtype.clone()).or_insert(0) += 1;
    }
    found
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn describe(checkpoint: &Checkpoint) -> Info {
    let Checkpoint { loader, headers, foreign, .. } = checkpoint;
    let ranges = loader.weights.byte_ranges();
    let parameters = ranges.iter().map(ByteRange::values).sum();
    let own = loader.tokenizer();
    let kind = match (foreign, own) {
        (Some(foreign), _) => foreign.kind().into(),
        (None, Some(_)) => "CLIP".into(),
        (None, None) => "none".into(),
    };
    let context_length = loader.config().text.context_length;
    let mut warnings = loader.warnings().to_vec();
    warnings.extend(foreign.iter().flat_map(|foreign| foreign.warnings(context_length)));
    Info {
        config: json!(loader.config()),
        towers: match loader.towers() {
            Towers::Both => "both",
            Towers::Image => "image",
            Towers::Text => "text",
        },
        parameters,
        bytes: checkpoint.bytes(),
        dtypes: dtypes(headers),
        files: headers.len(),
        tokenizer: TokenizerInfo {
            kind,
            vocab_size: own.map(|tokenizer| tokenizer.vocab_size()),
            reference: own.map(|tokenizer| tokenizer.reference().name()),
        },
        preprocess: json(&loader.preprocess().to_json()),
        warnings,
        run: None,
    }
}

/// Describes the model inside a training state, and its run.
fn describe_state(path: &std::path::Path) -> Result<Info> {
    let (checkpoint, run) = Checkpoint::open_in_state(path, &cpu())?;
    Ok(Info { run: Some(json(&run)), ..describe(&checkpoint) })
}

/// Fields of JSON as one line, without those that hold others.
fn line(value: &Value) -> String {
    let plain = |(key, value): (&String, &Value)| match value {
        Value::Object(_) => None,
        Value::String(text) => Some(format!("{key} {text}")),
        other => Some(format!("{key} {other}")),
    };
    value.as_object().into_iter().flatten().filter_map(plain).collect::<Vec<_>>().join(", ")
}

fn text(path: &std::path::Path, info: &Info) -> String {
    let dtypes: Vec<String> = info.dtypes.iter().map(|(dtype, tensors)| format!("{tensors} {dtype}")).collect();
    let tokenizer = match (&info.tokenizer.vocab_size, info.tokenizer.reference) {
        (Some(tokens), Some(reference)) => {
            format!("{}, {} tokens, as {reference}", info.tokenizer.kind, count(*tokens as u64))
        }
        _ => info.tokenizer.kind.clone(),
    };
    let mut rows = vec![
        ("path", path.display().to_string()),
        ("towers", info.towers.into()),
        ("parameters", count(info.parameters)),
        ("weights", format!("{} in {} file(s): {} tensors", size(info.bytes), info.files, dtypes.join(", "))),
        ("model", line(&info.config)),
        ("image tower", line(&info.config["vision"])),
        ("text tower", line(&info.config["text"])),
        ("tokenizer", tokenizer),
        ("transform", line(&info.preprocess)),
    ];
    if let Some(state) = &info.run {
        let run = &state["run"];
        let of = if run.is_null() {
            "its run has ended".into()
        } else {
            format!("its run is at step {} over {} pairs", run["step"], run["pairs"])
        };
        rows.push(("training", format!("{} steps; {of}", state["steps"])));
        rows.push(("options", line(&run["options"])));
    }
    rows.extend(info.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows.iter().map(|(name, value)| format!("{name:<12}{value}")).collect::<Vec<_>>().join("\n")
}

/// Runs the command.
///
/// # Errors
/// Those of [`Checkpoint::open`].
pub fn run(arguments: &InfoArgs, output: &Output) -> Result<()> {
    let path = &arguments.path;
    let info = if is_state(path)? {
        describe_state(path)?
    } else {
        describe(&Checkpoint::open(path, OpenOptions::default(), &cpu())?)
    };
    output.event(&info);
    output.result(&text(path, &info));
    Ok(())
}
