//! `clipwright convert`: writes a checkpoint in another layout, and reads it back before it counts.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clip_core::bundle::Bundle;
use clip_core::checkpoint::{Header, LoadOptions, Precision};
use clip_core::device::cpu;
use clip_core::export::NamedFile;
use serde_json::Value;

use crate::checkpoint::{Checkpoint, ForeignTokenizer, Loaded, OpenOptions, open_adapter};
use crate::events::Event;
use crate::exit::{Failure, Result};
use crate::files::{draft_folder, make_folder, write_whole};
use crate::output::{Output, size};

/// Arguments of `convert`.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// Folder or safetensors file to read
    input: PathBuf,
    /// Folder to write; or with the ending .safetensors one file, which holds config, tokenizer and transform, too
    output: PathBuf,
    /// Names of the tensors and of the files beside them
    #[arg(long, value_enum, default_value = "hf")]
    layout: LayoutArg,
    /// Low-rank adapters in PEFT's files to add to the weights
    #[arg(long, value_name = "PATH")]
    adapter: Option<PathBuf>,
    /// Replace the file, or the files of the folder, that exist
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    /// transformers' CLIPModel and SiglipModel
    Hf,
    /// OpenCLIP
    #[value(name = "open_clip", alias = "open-clip")]
    OpenClip,
}

impl LayoutArg {
    fn name(self) -> &'static str {
        match self {
            Self::Hf => "hf",
            Self::OpenClip => "open_clip",
        }
    }
}

/// Loads a checkpoint with every value as f32, as it will be written.
fn load(path: &Path, output: Option<&Output>) -> Result<Loaded> {
    let load = LoadOptions { precision: Precision::F32, ..LoadOptions::default() };
    let checkpoint = Checkpoint::open(path, OpenOptions { load, reference: None }, &cpu())?;
    let total = checkpoint.bytes();
    checkpoint.load(&|bytes| {
        if let Some(output) = output {
            output.progress(bytes as usize, total as usize, || format!("reading {} of {}", size(bytes), size(total)));
        }
    })
}

/// Files beside the weights of a checkpoint, which another one can replace.
const SIDE_FILES: &[&str] = &[
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "open_clip_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
];

/// Whether a file is one of a checkpoint.
fn is_of_checkpoint(name: &str) -> bool {
    SIDE_FILES.contains(&name) || [".safetensors", ".safetensors.index.json"].iter().any(|end| name.ends_with(end))
}

/// Whether one file shall be written, and no folder.
fn is_file_name(target: &Path) -> bool {
    target.extension().is_some_and(|end| end == "safetensors")
}

/// Checks that nothing would be lost.
fn check_target(target: &Path, force: bool) -> Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let refuse = |why: String| Err(Failure::new("target-unwritable", format!("{}: {why}", target.display())));
    match (target.is_dir(), is_file_name(target)) {
        (true, true) => return refuse("it is a folder, and a file would be written: choose another name".into()),
        (false, false) => {
            let why = "it is a file, and a folder would be written: choose another name, for one file with the ending .safetensors";
            return refuse(why.into());
        }
        (false, true) if !force => return refuse("it exists already: --force replaces it".into()),
        (false, true) => return Ok(()),
        (true, false) => {}
    }
    let entries = fs::read_dir(target).map_err(|error| Failure::unwritable(target, error))?;
    let names: Vec<(String, bool)> = entries
        .filter_map(|entry| entry.ok())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()))
        .collect();
    if let Some((other, _)) = names.iter().find(|(name, is_folder)| *is_folder || !is_of_checkpoint(name)) {
        return refuse(format!("it holds {other}, which is no file of a checkpoint: choose another folder"));
    }
    if names.is_empty() || force { Ok(()) } else { refuse("it exists already: --force replaces its files".into()) }
}

/// The transform without the rounding of its centre crop, which is that of the layout's library.
fn transform(bundle: &Bundle) -> Value {
    let mut transform: Value = serde_json::from_str(&bundle.preprocess.to_json()).unwrap_or_default();
    transform["crop"] = Value::Null;
    transform
}

/// Reads a written model back, and compares it with the one in memory.
fn check_written(bundle: &Bundle, path: &Path, layout: &str, weights: &[u8]) -> Result<()> {
    let differs = |what: &str| {
        let message = format!("{}: read back, {what} differs: please report it", path.display());
        Failure::new("unexpected", message)
    };
    let again = load(path, None)?.bundle;
    if again.config != bundle.config {
        return Err(differs("the config"));
    }
    if transform(&again) != transform(bundle) {
        return Err(differs("the transform"));
    }
    let texts = |bundle: &Bundle| bundle.tokenizer.as_ref().map(|tokenizer| tokenizer.merges());
    if texts(&again) != texts(bundle) {
        return Err(differs("the tokenizer"));
    }
    let saved = pollster::block_on(again.save(layout))?;
    let (before, after) = (Header::parse(weights, weights.len() as u64)?, Header::parse(&saved, saved.len() as u64)?);
    for name in before.names() {
        let values = |header: &Header, bytes: &'_ [u8]| -> Option<Vec<u8>> {
            let (begin, end) = header.bytes_of(header.tensor(name)?);
            Some(bytes[begin as usize..end as usize].to_vec())
        };
        if values(&before, weights) != values(&after, &saved) {
            return Err(differs(name));
        }
    }
    Ok(())
}

/// The files of a folder. A tokenizer that is not CLIP's goes along as it is.
fn folder_files(bundle: &Bundle, foreign: Option<&ForeignTokenizer>, layout: &str) -> Result<Vec<NamedFile>> {
    let mut files = pollster::block_on(bundle.export_files(layout))?;
    files.extend(foreign.into_iter().flat_map(|foreign| foreign.files.clone()));
    Ok(files)
}

fn write_folder(bundle: &Bundle, files: &[NamedFile], target: &Path, layout: &str) -> Result<()> {
    let unwritable = |error: std::io::Error| Failure::unwritable(target, error);
    let draft = draft_folder(target)?;
    let folder = draft.path().join("checkpoint");
    make_folder(&folder)?;
    for (name, bytes) in files {
        write_whole(&folder.join(name), bytes)?;
    }
    let weights = files.iter().find(|(name, _)| name.ends_with(".safetensors")).map_or(&[][..], |(_, bytes)| bytes);
    check_written(bundle, &folder, layout, weights)?;
    // the old folder is moved into the draft, and deleted with it
    let replaced = draft.path().join("replaced");
    let replaces = target.exists();
    if replaces {
        fs::rename(target, &replaced).map_err(unwritable)?;
    }
    let Err(error) = fs::rename(&folder, target) else { return Ok(()) };
    if replaces && fs::rename(&replaced, target).is_err() {
        let kept = draft.keep().join("replaced");
        let message = format!("{error}; what was there is in {}: move it back", kept.display());
        return Err(Failure::unwritable(target, message));
    }
    Err(unwritable(error))
}

fn write_file(bundle: &Bundle, bytes: &[u8], target: &Path, layout: &str) -> Result<()> {
    let unwritable = |error: std::io::Error| Failure::unwritable(target, error);
    let draft = draft_folder(target)?;
    let file = draft.path().join("model.safetensors");
    write_whole(&file, bytes)?;
    check_written(bundle, &file, layout, bytes)?;
    fs::rename(&file, target).map_err(unwritable)
}

/// Runs the command.
///
/// # Errors
/// Those of [`Checkpoint::open`]; `target-unwritable`; `invalid-option` for a model that the layout cannot describe.
pub fn run(arguments: &ConvertArgs, output: &Output) -> Result<()> {
    let (target, layout) = (&arguments.output, arguments.layout.name());
    check_target(target, arguments.force)?;
    let Loaded { mut bundle, foreign, warnings } = load(&arguments.input, Some(output))?;
    warnings.iter().for_each(|warning| output.warn(warning));
    if let Some(adapter) = &arguments.adapter {
        bundle.merge(&open_adapter(adapter)?)?;
    }
    let bytes = if is_file_name(target) {
        if foreign.is_some() {
            output.warn("the file does not hold the tokenizer, which is not CLIP's: convert to a folder to keep it");
        }
        let bytes = pollster::block_on(bundle.save(layout))?;
        write_file(&bundle, &bytes, target, layout)?;
        bytes.len()
    } else {
        let files = folder_files(&bundle, foreign.as_ref(), layout)?;
        write_folder(&bundle, &files, target, layout)?;
        files.iter().map(|(_, bytes)| bytes.len()).sum()
    };
    let path = target.display().to_string();
    output.event(&Event::Converted { path: &path, layout, bytes });
    output.result(&format!("{path}: {} as {layout}, weights as f32; read back, it is equal", size(bytes as u64)));
    Ok(())
}
