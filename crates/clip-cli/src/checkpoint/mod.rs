//! Checkpoints on disk: a folder or a file of Hugging Face's, OpenCLIP's or clipwright's own. What a browser loads from an address
//! (`workers/loading/`), this loads from a path, by the same rules.

mod find_model;
mod folder;
mod foreign;
mod merges;
mod side_files;
mod text;
mod weights;

use std::path::Path;

use clip_core::bundle::Bundle;
use clip_core::checkpoint::{Adapter, Header, LoadOptions, metadata};
use clip_core::device::Device;
use clip_core::model_loader::ModelLoader;
use clip_core::tokenizer::Reference;

use self::find_model::{ADAPTER, find_model, is_weights};
use self::folder::{Folder, WeightsFile};
use self::side_files::SideFiles;
use self::weights::{missing_file, open_weights, read_header};
use crate::exit::{Failure, Result};

pub use self::foreign::ForeignTokenizer;
pub use self::merges::published_merges;

/// Bytes read at a time.
const PIECE: usize = 8 << 20;

/// How a checkpoint is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Options of the load.
    pub load: LoadOptions,
    /// Reference tokenizer to follow; `None` for the publisher's.
    pub reference: Option<Reference>,
}

/// A checkpoint whose small files and headers were read and checked, and whose weights were not.
pub struct Checkpoint {
    /// Loader of the weights.
    pub loader: ModelLoader,
    /// Headers of its safetensors files.
    pub headers: Vec<Header>,
    /// A tokenizer that is not CLIP's.
    pub foreign: Option<ForeignTokenizer>,
    files: Vec<WeightsFile>,
}

/// A loaded checkpoint.
pub struct Loaded {
    /// The model and what belongs to it.
    pub bundle: Bundle,
    /// A tokenizer that is not CLIP's.
    pub foreign: Option<ForeignTokenizer>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Opens a folder or a safetensors file.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-source`, `invalid-config`, `invalid-tokenizer`, `invalid-checkpoint`, `missing-tensor`,
    /// `extra-tensor`, `missing-tower`, `shape-mismatch`.
    pub fn open(path: &Path, options: OpenOptions, device: &Device) -> Result<Self> {
        let folder = find_model(Folder::open(path)?, is_weights)?;
        let towers = options.load.towers;
        let (files, headers, side) = match &folder.only {
            None => {
                let side = SideFiles::read(&folder, towers)?;
                let files = open_weights(&folder, side.config.as_deref())?;
                let headers = files.iter().map(read_header).collect::<Result<Vec<_>>>()?;
                (files, headers, side)
            }
            Some(only) => {
                let file = folder.file(only)?.ok_or_else(|| missing_file(&folder, only))?;
                let header = read_header(&file)?;
                // a file that clipwright wrote is complete; the files beside it may be another model's
                let is_complete = header.metadata(metadata::CONFIG).is_some();
                let side = if is_complete { SideFiles::default() } else { SideFiles::read(&folder, towers)? };
                (vec![file], vec![header], side)
            }
        };
        let is_foreign = side.is_foreign();
        let core = side.for_core(is_foreign, options.reference);
        let mut loader = ModelLoader::new(&headers, &core, options.load, device)?;
        if !is_foreign && loader.wants_published_merges() {
            loader.set_merges(&published_merges()?)?;
        }
        let foreign = is_foreign.then(|| ForeignTokenizer::new(side, &loader)).transpose()?;
        Ok(Self { loader, headers, foreign, files })
    }

    /// Bytes of the weights that the model needs.
    pub fn bytes(&self) -> u64 {
        self.loader.weights.byte_ranges().iter().map(|range| range.end - range.begin).sum()
    }

    /// Reads the weights; `progress` takes the number of bytes so far.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-checkpoint`, `out-of-memory`.
    pub fn load(mut self, progress: &dyn Fn(u64)) -> Result<Loaded> {
        let ranges: Vec<(usize, u64, u64)> =
            self.loader.weights.byte_ranges().iter().map(|range| (range.file, range.begin, range.end)).collect();
        let mut loaded = 0;
        for (file, begin, end) in ranges {
            let weights = &mut self.loader.weights;
            self.files[file].read(begin, end, PIECE, |piece| {
                weights.push(piece)?;
                loaded += piece.len() as u64;
                progress(loaded);
                Ok(())
            })?;
        }
        let (bundle, warnings) = self.loader.finish()?;
        Ok(Loaded { bundle, foreign: self.foreign, warnings })
    }
}

/// Reads an adapter in PEFT's files.
///
/// # Errors
/// `source-unreadable`, `invalid-source`, `invalid-checkpoint`.
pub fn open_adapter(path: &Path) -> Result<Adapter> {
    let folder = find_model(Folder::open(path)?, |name| name == ADAPTER)?;
    let name = folder.only.clone().unwrap_or_else(|| ADAPTER.into());
    let config = folder.text("adapter_config.json")?.ok_or_else(|| missing_file(&folder, "adapter_config.json"))?;
    let file = folder.file(&name)?.ok_or_else(|| missing_file(&folder, &name))?;
    let weights = file.bytes(0, file.size)?;
    text::check_safetensors(&name, &weights)?;
    Ok(Adapter { weights, config })
}

/// Whether a file is a training state.
///
/// # Errors
/// `source-unreadable`.
pub fn is_state(path: &Path) -> Result<bool> {
    let folder = Folder::open(path)?;
    let Some(only) = &folder.only else { return Ok(false) };
    let Some(file) = folder.file(only)? else { return Ok(false) };
    Ok(read_header(&file).is_ok_and(|header| run_of(&header).is_some()))
}

/// The run of a training state, as JSON; `None` for any other file. The key is that of clip-core's `train/state.rs`.
pub fn run_of(header: &Header) -> Option<&str> {
    header.metadata("clipwright.training")
}

/// Reads a whole file.
///
/// # Errors
/// `source-unreadable`.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::unreadable("file", path, error))
}
