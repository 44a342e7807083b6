//! Checkpoints on disk: a folder or a file of Hugging Face's, OpenCLIP's or clipwright's own. What a browser loads from an address
//! (`workers/loading/`), this loads from a path, by the same rules.

mod clip_tokenizer;
mod find_model;
mod folder;
mod foreign;
mod merges;
mod sentence_transformers;
mod side_files;
mod signatures;
mod state;
mod text;
mod weights;

use std::io::Read;
use std::path::Path;

use clip_core::bundle::Bundle;
use clip_core::checkpoint::{Adapter, Header, LoadOptions, metadata};
use clip_core::device::Device;
use clip_core::digest::Sha256;
use clip_core::model_loader::ModelLoader;
use clip_core::tokenizer::{Reference, Tokenize, Tokenizer};

use self::find_model::{ADAPTER, Wanted, find_model};
use self::folder::{Folder, WeightsFile};
use self::side_files::SideFiles;
use self::weights::{missing_file, open_weights, read_header};
use crate::exit::{Failure, Result};
use crate::files::open_regular;

pub use self::foreign::ForeignTokenizer;
pub use self::merges::published_merges;
pub use self::state::{is_state, load_state, open_state};
pub use self::text::read_text_file;

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
    /// Its path in messages.
    label: String,
}

/// A loaded checkpoint.
pub struct Loaded {
    /// The model and what belongs to it.
    pub bundle: Bundle,
    /// A tokenizer that is not CLIP's.
    pub foreign: Option<ForeignTokenizer>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// SHA-256 of the weights as they were read, those of towers that were not loaded left out.
    pub weights_sha256: String,
}

impl Loaded {
    /// What tokenizes captions: CLIP's tokenizer, or another one of the checkpoint.
    ///
    /// # Errors
    /// `invalid-tokenizer` without one.
    pub fn tokenizer(&self) -> Result<&dyn Tokenize> {
        captions_tokenizer(self.foreign.as_ref(), self.bundle.tokenizer.as_deref())
    }

    /// Tokenizes captions.
    ///
    /// # Errors
    /// Those of [`tokenizer`](Self::tokenizer); `caption-too-long` unless `truncate`.
    pub fn tokenize<'a>(&self, texts: impl IntoIterator<Item = &'a str>, truncate: bool) -> Result<Vec<i32>> {
        tokenize(&self.bundle, self.foreign.as_ref(), texts, truncate)
    }
}

/// Tokenizes captions for a model; `foreign` is its tokenizer where it is not CLIP's.
///
/// # Errors
/// Those of [`captions_tokenizer`]; `caption-too-long` unless `truncate`.
pub fn tokenize<'a>(
    bundle: &Bundle,
    foreign: Option<&ForeignTokenizer>,
    texts: impl IntoIterator<Item = &'a str>,
    truncate: bool,
) -> Result<Vec<i32>> {
    let tokenizer = captions_tokenizer(foreign, bundle.tokenizer.as_deref())?;
    let mut ids = Vec::new();
    for text in texts {
        ids.extend(tokenizer.tokenize(text, bundle.config.text.context_length, truncate)?);
    }
    Ok(ids)
}

/// What tokenizes the captions of a model.
///
/// # Errors
/// `invalid-tokenizer` without a tokenizer.
pub fn captions_tokenizer<'a>(
    foreign: Option<&'a ForeignTokenizer>,
    own: Option<&'a Tokenizer>,
) -> Result<&'a dyn Tokenize> {
    if let Some(foreign) = foreign {
        return Ok(foreign);
    }
    let own = own.map(|own| own as &dyn Tokenize);
    own.ok_or_else(|| {
        let advice = "put tokenizer.json and tokenizer_config.json beside the weights";
        Failure::new("invalid-tokenizer", format!("the checkpoint came without a tokenizer: {advice}"))
    })
}

impl Checkpoint {
    /// Opens a folder or a safetensors file.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-source`, `invalid-config`, `invalid-tokenizer`, `invalid-checkpoint`, `missing-tensor`,
    /// `extra-tensor`, `missing-tower`, `shape-mismatch`.
    pub fn open(path: &Path, options: OpenOptions, device: &Device) -> Result<Self> {
        let folder = find_model(Folder::open(path)?, Wanted::Model).map_err(|error| error.about_path(path))?;
        let label = folder.label();
        Self::read(&folder, options, device).map_err(|error| error.about(&label))
    }

    fn read(folder: &Folder, options: OpenOptions, device: &Device) -> Result<Self> {
        let towers = options.load.towers;
        let Some(only) = &folder.only else {
            let side = SideFiles::read(folder, towers)?;
            let files = open_weights(folder, side.config.as_deref())?;
            let headers = files.iter().map(read_header).collect::<Result<Vec<_>>>()?;
            return Self::new(folder.label(), (files, headers, side), options, device);
        };
        let file = folder.file(only)?.ok_or_else(|| missing_file(folder, only))?;
        let header = read_header(&file)?;
        // a file that clipwright wrote is complete; the files beside it may be another model's
        let is_complete = header.metadata(metadata::CONFIG).is_some();
        let side = if is_complete { SideFiles::default() } else { SideFiles::read(folder, towers)? };
        Self::new(folder.label(), (vec![file], vec![header], side), options, device)
    }

    /// Opens the model in a training state, and returns what the state says of its run, as JSON.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in_state(path: &Path, device: &Device) -> Result<(Self, String)> {
        let read = || -> Result<(Self, String)> {
            let invalid = |problem: &str| Failure::new("invalid-checkpoint", problem);
            let folder = Folder::open(path)?;
            let file = folder.only.as_ref().map(|only| folder.file(only)).transpose()?.flatten();
            let file = file.ok_or_else(|| invalid("expected the file of a training state, got a folder"))?;
            let header = read_header(&file)?;
            let run = header.metadata(metadata::TRAINING).ok_or_else(|| invalid("expected a training state"))?;
            let model = header.tensor("model").ok_or_else(|| invalid("the state holds no model"))?;
            let (begin, end) = header.bytes_of(model);
            let model = file.part(begin, end);
            let parts = (vec![model.clone()], vec![read_header(&model)?], SideFiles::default());
            Ok((Self::new(folder.label(), parts, OpenOptions::default(), device)?, run.to_owned()))
        };
        read().map_err(|error| error.about_path(path))
    }

    fn new(
        label: String,
        (files, headers, side): (Vec<WeightsFile>, Vec<Header>, SideFiles),
        options: OpenOptions,
        device: &Device,
    ) -> Result<Self> {
        let is_foreign = side.is_foreign();
        if let Some(reference) = options.reference.filter(|_| is_foreign) {
            let expected = "none beside a tokenizer that is not CLIP's, which follows its own files";
            return Err(Failure::option("tokenizer", expected, reference.name()));
        }
        let core = side.for_core(is_foreign, options.reference);
        let mut loader = ModelLoader::new(&headers, &core, options.load, device)?;
        if !is_foreign && loader.wants_published_merges() {
            loader.set_merges(&published_merges()?)?;
        }
        let foreign = is_foreign.then(|| ForeignTokenizer::new(side, &loader)).transpose()?;
        Ok(Self { loader, headers, foreign, files, label })
    }

    /// Bytes of the weights that the model needs.
    pub fn bytes(&self) -> u64 {
        self.loader.weights.byte_ranges().iter().map(|range| range.end - range.begin).sum()
    }

    /// Reads the weights; `progress` takes the number of bytes so far.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-checkpoint`, `out-of-memory`.
    pub fn load(self, progress: &dyn Fn(u64)) -> Result<Loaded> {
        let label = self.label.clone();
        self.load_weights(progress).map_err(|error| error.about(&label))
    }

    fn load_weights(mut self, progress: &dyn Fn(u64)) -> Result<Loaded> {
        let ranges: Vec<(usize, u64, u64)> =
            self.loader.weights.byte_ranges().iter().map(|range| (range.file, range.begin, range.end)).collect();
        let (mut loaded, mut sum) = (0, Sha256::default());
        for (file, begin, end) in ranges {
            let weights = &mut self.loader.weights;
            self.files[file].read(begin, end, PIECE, |piece| {
                weights.push(piece)?;
                sum.update(piece);
                loaded += piece.len() as u64;
                progress(loaded);
                Ok(())
            })?;
        }
        let (bundle, mut warnings) = self.loader.finish()?;
        let context_length = bundle.config.text.context_length;
        warnings.extend(self.foreign.iter().flat_map(|foreign| foreign.warnings(context_length)));
        Ok(Loaded { bundle, foreign: self.foreign, warnings, weights_sha256: sum.finish() })
    }
}

/// Reads an adapter in PEFT's files.
///
/// # Errors
/// `source-unreadable`, `invalid-source`, `invalid-checkpoint`.
pub fn open_adapter(path: &Path) -> Result<Adapter> {
    let read = || -> Result<Adapter> {
        let folder = find_model(Folder::open(path)?, Wanted::Adapter)?;
        let name = folder.only.clone().unwrap_or_else(|| ADAPTER.into());
        let config = folder.text("adapter_config.json")?.ok_or_else(|| missing_file(&folder, "adapter_config.json"))?;
        let file = folder.file(&name)?.ok_or_else(|| missing_file(&folder, &name))?;
        let weights = file.bytes(0, file.size)?;
        text::check_safetensors(&name, &weights)?;
        Ok(Adapter { weights, config })
    };
    read().map_err(|error| error.about_path(path))
}

/// Reads a whole file.
///
/// # Errors
/// `source-unreadable`.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open_regular(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| Failure::unreadable("file", path, error))
}
