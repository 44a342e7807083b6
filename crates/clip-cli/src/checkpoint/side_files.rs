//! Reads the small files of a checkpoint: config, transform, tokenizer.

use clip_core::model::Towers;
use clip_core::preprocess::TransformFiles;
use clip_core::tokenizer::{Reference, TokenizerFiles};
use serde_json::Value;

use super::clip_tokenizer::is_clip_tokenizer;
use super::folder::Folder;
use crate::exit::Result;

/// The transform of a caller, in place of the publisher's.
const OWN_TRANSFORM: &str = "preprocess.json";

/// The small files of a checkpoint, as text.
#[derive(Debug, Clone, Default)]
pub(super) struct SideFiles {
    pub(super) config: Option<String>,
    processor: Option<String>,
    preprocess: Option<String>,
    pub(super) tokenizer: Option<String>,
    pub(super) tokenizer_config: Option<String>,
    merges: Option<String>,
    vocab: Option<String>,
    pub(super) special_tokens: Option<String>,
    pub(super) added_tokens: Option<String>,
}

/// Whether a config is Hugging Face's: of a whole model, or of one tower.
pub(super) fn is_hugging_face(config: &str) -> bool {
    let has =
        |key: &str| config.match_indices(key).any(|(at, _)| config[at + key.len()..].trim_start().starts_with(':'));
    has("\"vision_config\"") || has("\"model_type\"")
}

/// Whether a config is a CLIP's: other libraries also name theirs `config.json`.
fn is_model_config(text: &str) -> bool {
    const ONE_TOWER: [&str; 4] = ["clip_text_model", "clip_vision_model", "siglip_text_model", "siglip_vision_model"];
    // the core reports invalid JSON
    let Ok(config) = serde_json::from_str::<Value>(text) else { return true };
    let is_whole = ["vision_config", "model_cfg", "vision_cfg", "embedDim"].iter().any(|key| config.get(key).is_some());
    is_whole || config["model_type"].as_str().is_some_and(|kind| ONE_TOWER.contains(&kind))
}

/// Whether a model has OpenCLIP's own tokenizer, which takes nothing but the merges from files.
pub(super) fn has_open_clip_tokenizer(config: Option<&str>) -> bool {
    config.is_some_and(|config| !is_hugging_face(config) && !config.contains("\"hf_tokenizer_name\""))
}

impl SideFiles {
    /// Reads all small files that the towers need.
    ///
    /// # Errors
    /// `source-unreadable`; `invalid-config` and `invalid-tokenizer` for files that hold something else.
    pub(super) fn read(folder: &Folder, towers: Towers) -> Result<Self> {
        let found = folder.text("config.json")?;
        let config = match found {
            Some(text) if is_model_config(&text) => Some(text),
            found => folder.text("open_clip_config.json")?.or(found),
        };
        let mut files = Self { config, ..Self::default() };
        files.read_transform(folder)?;
        if towers.text() {
            files.read_tokenizer(folder)?;
        }
        Ok(files)
    }

    /// Reads the tokenizer's files alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn of_tokenizer(folder: &Folder) -> Result<Self> {
        let mut files = Self::default();
        files.read_tokenizer(folder)?;
        Ok(files)
    }

    /// Reads the transform: the caller's own, or the publisher's. OpenCLIP's is in its config: files beside it are not its own.
    fn read_transform(&mut self, folder: &Folder) -> Result<()> {
        self.preprocess = folder.text(OWN_TRANSFORM)?;
        if self.preprocess.is_none() && self.config.as_deref().is_none_or(is_hugging_face) {
            self.processor = folder.text("processor_config.json")?;
            self.preprocess = folder.text("preprocessor_config.json")?;
        }
        Ok(())
    }

    /// Reads the tokenizer's files. If its config has no `added_tokens_decoder`, special and added tokens are in other files.
    fn read_tokenizer(&mut self, folder: &Folder) -> Result<()> {
        self.tokenizer = folder.text("tokenizer.json")?;
        self.tokenizer_config = folder.text("tokenizer_config.json")?;
        let is_open_clip = has_open_clip_tokenizer(self.config.as_deref());
        if self.tokenizer.is_none() {
            self.merges = folder.text("merges.txt")?;
            if !is_open_clip {
                self.vocab = folder.text("vocab.json")?;
            }
        }
        let is_complete = self.tokenizer_config.as_ref().is_some_and(|text| text.contains("\"added_tokens_decoder\""));
        if !(is_open_clip || is_complete) {
            self.special_tokens = folder.text("special_tokens_map.json")?;
            self.added_tokens = folder.text("added_tokens.json")?;
        }
        Ok(())
    }

    /// The files as the core takes them; a foreign tokenizer's are kept from it.
    pub(super) fn for_core(
        &self,
        foreign: bool,
        reference: Option<Reference>,
    ) -> clip_core::model_loader::SideFiles<'_> {
        let tokenizer = if foreign {
            TokenizerFiles::default()
        } else {
            TokenizerFiles {
                tokenizer: self.tokenizer.as_deref(),
                merges: self.merges.as_deref(),
                vocab: self.vocab.as_deref(),
                config: self.tokenizer_config.as_deref(),
                special_tokens: self.special_tokens.as_deref(),
                added_tokens: self.added_tokens.as_deref(),
            }
        };
        let transform = TransformFiles { processor: self.processor.as_deref(), preprocess: self.preprocess.as_deref() };
        clip_core::model_loader::SideFiles { config: self.config.as_deref(), transform, tokenizer, reference }
    }

    /// Whether the tokenizer is not CLIP's, which the core reads itself.
    pub(super) fn is_foreign(&self) -> bool {
        let config =
            if has_open_clip_tokenizer(self.config.as_deref()) { None } else { self.tokenizer_config.as_deref() };
        self.tokenizer.as_ref().is_some_and(|json| !is_clip_tokenizer(json, config))
    }
}
