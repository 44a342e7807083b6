//! `clipwright convert`: writes a checkpoint in another layout, and reads it back before it counts.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clip_core::bundle::Bundle;
use clip_core::checkpoint::{Header, LoadOptions, Precision};
use clip_core::config::ClipConfig;
use clip_core::device::cpu;
use clip_core::export::NamedFile;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::model_args::load;
use crate::checkpoint::{Checkpoint, ForeignTokenizer, Loaded, OpenOptions, open_adapter};
use crate::events::Event;
use crate::exit::{Failure, Result};
use crate::files::{draft_folder, make_folder, write_whole};
use crate::interrupt::Interrupts;
use crate::output::{Output, size};

/// Arguments of `convert`.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// Folder or safetensors file to read, or a training state
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

/// Every value as f32, as it will be written.
fn as_f32() -> OpenOptions {
    OpenOptions { load: LoadOptions { precision: Precision::F32, ..LoadOptions::default() }, reference: None }
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
    let mut transform = json!(bundle.preprocess);
    transform["crop"] = Value::Null;
    transform
}

/// What a written checkpoint shall hold. Of the weights it keeps hashes alone: one copy of them is in memory beside the model.
struct Content {
    config: ClipConfig,
    transform: Value,
    merges: Option<String>,
    tensors: BTreeMap<String, u64>,
}

impl Content {
    /// `weights` are the model's, as a safetensors file.
    fn new(bundle: &Bundle, weights: &[u8]) -> Result<Self> {
        let header = Header::parse(weights, weights.len() as u64)?;
        let hash = |name: &str| -> Option<(String, u64)> {
            let (begin, end) = header.bytes_of(header.tensor(name)?);
            let mut hasher = DefaultHasher::new();
            weights[begin as usize..end as usize].hash(&mut hasher);
            Some((name.to_owned(), hasher.finish()))
        };
        Ok(Self {
            config: bundle.config.clone(),
            transform: transform(bundle),
            merges: bundle.tokenizer.as_ref().map(|tokenizer| tokenizer.merges()),
            tensors: header.names().filter_map(hash).collect(),
        })
    }

    /// Reads a written model back, and compares it with what it shall hold.
    fn check(&self, path: &Path, layout: &str) -> Result<()> {
        let bundle = Checkpoint::open(path, as_f32(), &cpu())?.load(&|_| {})?.bundle;
        let again = Self::new(&bundle, &pollster::block_on(bundle.save(layout))?)?;
        let what = if self.config != again.config {
            "the config"
        } else if self.transform != again.transform {
            "the transform"
        } else if self.merges != again.merges {
            "the tokenizer"
        } else if let Some((name, _)) = self.tensors.iter().find(|(name, hash)| again.tensors.get(*name) != Some(hash))
        {
            name
        } else {
            return Ok(());
        };
        let message = format!("{}: read back, {what} differs: please report it", path.display());
        Err(Failure::new("unexpected", message))
    }
}

/// The files to write, the weights among them. A tokenizer that is not CLIP's goes along as it is.
fn files_of(bundle: &Bundle, foreign: Option<&ForeignTokenizer>, layout: &str, one: bool) -> Result<Vec<NamedFile>> {
    if one {
        return Ok(vec![("model.safetensors".into(), pollster::block_on(bundle.save(layout))?)]);
    }
    let mut files = pollster::block_on(bundle.export_files(layout))?;
    files.extend(foreign.into_iter().flat_map(|foreign| foreign.files.clone()));
    Ok(files)
}

/// Moves a draft to its place.
fn replace(made: &Path, target: &Path, draft: TempDir) -> Result<()> {
    let unwritable = |error: std::io::Error| Failure::unwritable(target, error);
    // the old folder is moved into the draft, and deleted with it; an old file is replaced by the renaming
    let replaced = draft.path().join("replaced");
    let replaces = target.is_dir();
    if replaces {
        fs::rename(target, &replaced).map_err(unwritable)?;
    }
    let Err(error) = fs::rename(made, target) else { return Ok(()) };
    if replaces && fs::rename(&replaced, target).is_err() {
        let kept = draft.keep().join("replaced");
        let message = format!("{error}; what was there is in {}: move it back", kept.display());
        return Err(Failure::unwritable(target, message));
    }
    Err(unwritable(error))
}

/// Writes the files beside the target, reads them back, and moves them to their place.
fn write(files: Vec<NamedFile>, content: &Content, target: &Path, layout: &str, interrupts: &Interrupts) -> Result<()> {
    let proceed = || match interrupts.came() {
        true => Err(interrupts.failure("stopped; nothing was written")),
        false => Ok(()),
    };
    let draft = draft_folder(target)?;
    let folder = draft.path().join("checkpoint");
    make_folder(&folder)?;
    let only = is_file_name(target).then(|| files.first().map(|(name, _)| folder.join(name))).flatten();
    for (name, bytes) in files {
        proceed()?;
        write_whole(&folder.join(name), &bytes)?;
    }
    let made = only.unwrap_or(folder);
    content.check(&made, layout)?;
    proceed()?;
    replace(&made, target, draft)
}

/// Runs the command.
///
/// # Errors
/// Those of [`Checkpoint::open`]; `target-unwritable`; `invalid-option` for a model that the layout cannot describe; `interrupted` and
/// `terminated` after a signal.
pub fn run(arguments: &ConvertArgs, output: &Output) -> Result<()> {
    let (target, layout) = (&arguments.output, arguments.layout.name());
    check_target(target, arguments.force)?;
    let interrupts = Interrupts::listen()?;
    let Loaded { mut bundle, foreign, .. } = load(&arguments.input, as_f32(), &cpu(), output)?;
    if let Some(adapter) = &arguments.adapter {
        bundle.merge(&open_adapter(adapter)?)?;
    }
    let is_file = is_file_name(target);
    if is_file && foreign.is_some() {
        output.warn(None, "the file does not hold the tokenizer, which is not CLIP's: convert to a folder to keep it");
    }
    let files = files_of(&bundle, foreign.as_ref(), layout, is_file)?;
    let weights = files.iter().find(|(name, _)| name.ends_with(".safetensors")).map_or(&[][..], |(_, bytes)| bytes);
    let content = Content::new(&bundle, weights)?;
    // the files hold the model now
    drop(bundle);
    let bytes = files.iter().map(|(_, bytes)| bytes.len()).sum();
    write(files, &content, target, layout, &interrupts)?;
    let path = target.display().to_string();
    output.event(&Event::Converted { path: &path, layout, bytes });
    output.result(&format!("{path}: {} as {layout}, weights as f32; read back, it is equal", size(bytes as u64)));
    Ok(())
}
