//! The folder of embeddings: files of parts, and what tells that they are done.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// Says which setting is not that which a folder was begun with; `None` if all are. The model's path may be another one on each machine:
/// its weights tell.
fn difference(earlier: &[u8], settings: &Map<String, Value>) -> Option<String> {
    let Ok(earlier) = serde_json::from_slice::<Map<String, Value>>(earlier) else {
        return Some("its embed.json does not hold the settings that it was begun with".into());
    };
    let value = |settings: &Map<String, Value>, name: &str| {
        settings.get(name).map_or("none".to_owned(), |value| value.to_string())
    };
    let differs = |name: &&String| *name != "model" && earlier.get(*name) != settings.get(*name);
    let name = earlier.keys().chain(settings.keys()).find(differs)?;
    Some(format!("{name}: begun with {}, got {}", value(&earlier, name), value(settings, name)))
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
    pub(super) fn open(path: &Path, settings: &Map<String, Value>, dim: usize) -> Result<Self> {
        make_folder(path)?;
        let file = path.join("embed.json");
        match std::fs::read(&file) {
            Ok(text) => {
                if let Some(message) = difference(&text, settings) {
                    let message = format!("{}: {message}: choose another folder", path.display());
                    return Err(Failure::new("other-settings", message));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_whole(&file, format!("{:#}\n", json!(settings)).as_bytes())?;
            }
            Err(error) => return Err(Failure::unreadable("file", &file, error)),
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

    /// Counts of a part that is done; `None` for any other, and where its files cannot be read.
    pub(super) fn part_done(&self, name: &str) -> Option<Counts> {
        // written last
        self.file(name, ".npy").exists().then_some(())?;
        let lines = |end: &str| Some(std::fs::read_to_string(self.file(name, end)).ok()?.lines().count());
        let skipped = self.file(name, ".skipped.jsonl").exists();
        Some(Counts {
            parts: 1,
            embedded: lines(".jsonl")?,
            skipped: if skipped { lines(".skipped.jsonl")? } else { 0 },
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_folder_goes_on_as_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let open = |value: Value| OutFolder::open(folder.path(), &settings(value), 2).map(drop);
        open(json!({"texts": true, "captions": "lines"})).unwrap();
        open(json!({"captions": "lines", "texts": true, "model": "elsewhere"})).unwrap();
        for (other, expected) in [
            (json!({"texts": true}), "captions: begun with \"lines\", got none"),
            (json!({"texts": false, "captions": "lines"}), "texts: begun with true, got false"),
            (json!({"texts": true, "captions": "lines", "table": "a"}), "table: begun with none, got \"a\""),
        ] {
            let error = open(other).unwrap_err();
            assert!(error.code == "other-settings" && error.message.contains(expected), "{error}");
        }
        // settings that cannot be told are not replaced
        let file = folder.path().join("embed.json");
        for bytes in [b"{".as_slice(), b"[]", b"\xff"] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(open(json!({})).unwrap_err().code, "other-settings");
            assert_eq!(std::fs::read(&file).unwrap(), bytes);
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert_eq!(open(json!({})).unwrap_err().code, "source-unreadable");
    }

    #[test]
    fn a_part_whose_rows_are_lost_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutFolder::open(folder.path(), &Map::new(), 1).unwrap();
        let part = Part { rows: vec![("a".into(), vec!["b".into()])], images: vec![1.0], ..Part::default() };
        let counts = out.write("0-00000", &part).unwrap();
        assert_eq!(out.part_done("0-00000"), Some(counts));
        std::fs::remove_file(folder.path().join("0-00000.jsonl")).unwrap();
        assert_eq!(out.part_done("0-00000"), None);
    }
}
