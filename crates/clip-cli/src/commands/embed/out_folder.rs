//! The folder of embeddings: files of parts, and what tells that they are done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::npy::npy;
use crate::data::Skipped;
use crate::exit::{Failure, Result};
use crate::files::{make_folder, write_whole};

/// How many samples of a source were embedded and skipped, in how many files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Files of embeddings.
    pub(super) parts: usize,
    /// Samples that were embedded.
    pub(super) embedded: usize,
    /// Samples that cannot be used.
    pub(super) skipped: usize,
}

impl Counts {
    /// The counts of both.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            parts: self.parts + other.parts,
            embedded: self.embedded + other.embedded,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// A part, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Key and captions of each row.
    pub(super) rows: Vec<(String, Vec<String>)>,
    /// Embeddings of the images.
    pub(super) images: Vec<f32>,
    /// Embeddings of the first captions, where asked for.
    pub(super) texts: Option<Vec<f32>>,
    /// Samples that cannot be used.
    pub(super) skipped: Vec<Skipped>,
}

/// The folder.
pub(super) struct OutFolder {
    path: PathBuf,
    dim: usize,
}

impl OutFolder {
    /// Opens the folder. Its `embed.json` holds the settings, which must be the same for all of its files.
    ///
    /// # Errors
    /// `other-settings` where it was begun with others; `target-unwritable`.
    pub(super) fn open(path: &Path, settings: &Value, dim: usize) -> Result<Self> {
        make_folder(path)?;
        let file = path.join("embed.json");
        if let Ok(text) = std::fs::read_to_string(&file) {
            let earlier: Value = serde_json::from_str(&text).unwrap_or_default();
            if earlier != *settings {
                let message =
                    format!("{}: begun with {earlier}, got {settings}: choose another folder", path.display());
                return Err(Failure::new("other-settings", message));
            }
        } else {
            write_whole(&file, format!("{settings:#}\n").as_bytes())?;
        }
        Ok(Self { path: path.into(), dim })
    }

    fn file(&self, name: &str, end: &str) -> PathBuf {
        self.path.join(format!("{name}{end}"))
    }

    /// The counts of a source that is done; `None` for any other.
    pub(super) fn done(&self, source: &str) -> Option<Counts> {
        serde_json::from_slice(&std::fs::read(self.file(source, ".done.json")).ok()?).ok()
    }

    /// Notes that a source is done.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn finish(&self, source: &str, counts: Counts) -> Result<()> {
        write_whole(&self.file(source, ".done.json"), format!("{}\n", json!(counts)).as_bytes())
    }

    /// Counts of a part that is done.
    pub(super) fn part_done(&self, name: &str) -> Option<Counts> {
        // written last
        self.file(name, ".npy").exists().then_some(())?;
        let lines = |end: &str| std::fs::read_to_string(self.file(name, end)).map_or(0, |text| text.lines().count());
        Some(Counts { parts: 1, embedded: lines(".jsonl"), skipped: lines(".skipped.jsonl") })
    }

    /// Writes a part: its embeddings last, whose presence says that all is there.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn write(&self, name: &str, part: &Part) -> Result<Counts> {
        let rows = part.rows.iter().map(|(key, captions)| format!("{}\n", json!({"key": key, "captions": captions})));
        write_whole(&self.file(name, ".jsonl"), rows.collect::<String>().as_bytes())?;
        if !part.skipped.is_empty() {
            let skipped = part.skipped.iter().map(|Skipped { index, key, reason }| {
                format!("{}\n", json!({"index": index, "key": key, "code": reason.code, "message": reason.message}))
            });
            write_whole(&self.file(name, ".skipped.jsonl"), skipped.collect::<String>().as_bytes())?;
        }
        if let Some(texts) = &part.texts {
            write_whole(&self.file(name, ".text.npy"), &npy(texts, self.dim))?;
        }
        write_whole(&self.file(name, ".npy"), &npy(&part.images, self.dim))?;
        Ok(Counts { parts: 1, embedded: part.rows.len(), skipped: part.skipped.len() })
    }
}
