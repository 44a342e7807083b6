//! A tokenizer that is not CLIP's byte-pair encoding (SentencePiece, Gemma): read by clip-tokenizers, with clip-core's cleaning of texts.

use std::path::Path;

use clip_core::ClipError;
use clip_core::export::NamedFile;
use clip_core::model_loader::ModelLoader;
use clip_core::tokenizer::{Cleaning, Tokenize};
use clip_tokenizers::{Error, OpenClipOptions, TokenizerFiles};

use super::folder::Folder;
use super::side_files::SideFiles;
use crate::exit::{Failure, Result};

/// A tokenizer that the core does not read.
pub struct ForeignTokenizer {
    inner: clip_tokenizers::ForeignTokenizer,
    cleaning: Cleaning,
    /// Its files, as an export has them.
    pub files: Vec<NamedFile>,
}

/// The core's error: with the same code, and the same message.
fn to_core(error: Error) -> ClipError {
    match error {
        Error::Invalid(problem) => ClipError::InvalidTokenizer { message: format!("tokenizer.json: {problem}") },
        Error::CaptionTooLong { expected, got, text } => ClipError::CaptionTooLong { expected, got, text },
    }
}

impl ForeignTokenizer {
    /// Reads the tokenizer of a checkpoint.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(super) fn new(files: SideFiles, loader: &ModelLoader) -> Result<Self> {
        let (cleaning, overrides) = (loader.cleaning().name(), loader.tokenizer_overrides());
        Self::read(files, &OpenClipOptions { cleaning, tokenizer_overrides: &overrides })
    }

    /// Reads the tokenizer in the folder of a run, to which a state belongs; `None` without one. A state holds CLIP's tokenizer alone.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-tokenizer`.
    pub fn of_run(state: &Path) -> Result<Option<Self>> {
        // <run>/checkpoints/latest.clip, or a copy of it beside the tokenizer
        // the ancestors of a relative path end at the working directory
        let state = std::path::absolute(state).map_err(|error| Failure::unreadable("file", state, error))?;
        for folder in state.ancestors().skip(1).take(2) {
            let files = SideFiles::of_tokenizer(&Folder::open(folder)?)?;
            if files.is_foreign() {
                let options = OpenClipOptions { cleaning: "none", tokenizer_overrides: "{}" };
                return Self::read(files, &options).map(Some).map_err(|error| error.about_path(folder));
            }
        }
        Ok(None)
    }

    fn read(files: SideFiles, options: &OpenClipOptions<'_>) -> Result<Self> {
        let tokenizer = files.tokenizer.unwrap_or_default();
        let texts = TokenizerFiles {
            tokenizer: &tokenizer,
            tokenizer_config: files.tokenizer_config.as_deref(),
            special_tokens: files.special_tokens.as_deref(),
            added_tokens: files.added_tokens.as_deref(),
        };
        let inner = clip_tokenizers::ForeignTokenizer::read(&texts, options).map_err(to_core)?;
        let cleaning = Cleaning::from_name(inner.cleaning())?;
        let exported = [
            ("tokenizer_config.json", Some(inner.config_json().to_owned())),
            ("tokenizer.json", Some(tokenizer)),
            ("special_tokens_map.json", files.special_tokens),
            ("added_tokens.json", files.added_tokens),
        ];
        let exported = exported.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into_bytes())));
        Ok(Self { cleaning, files: exported.collect(), inner })
    }

    /// Its class or the type of its model.
    pub fn kind(&self) -> &str {
        self.inner.kind()
    }

    /// Warnings for the user, for a model of this context length.
    pub fn warnings(&self, context_length: usize) -> Vec<String> {
        self.inner.warnings(context_length)
    }
}

impl Tokenize for ForeignTokenizer {
    fn encode(&self, text: &str) -> clip_core::Result<Vec<i32>> {
        self.inner.encode(&self.cleaning.apply(text)).map_err(to_core)
    }

    fn tokenize(&self, text: &str, context_length: usize, truncate: bool) -> clip_core::Result<Vec<i32>> {
        self.inner.tokenize(text, &self.cleaning.apply(text), context_length, truncate).map_err(to_core)
    }
}
