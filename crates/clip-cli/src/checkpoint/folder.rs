//! A folder or a file on disk that holds a checkpoint.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use super::text::{invalid_content, read_text};
use crate::exit::{Failure, Result};
use crate::files::{open_regular, parent_of};

/// How deep subfolders are listed: the Hub's cache has models in `snapshots/<commit>`.
const DEPTH: usize = 3;
/// Bytes of the largest small file: the largest published tokenizer.json has 40 MB.
const MAX_TEXT_BYTES: u64 = 1 << 29;

/// A folder on disk, or one file of it: then the files beside it belong to the same model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Name of the weights file, if the caller named a file and not a folder.
    pub(super) only: Option<String>,
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Folder {
    /// Opens a folder or a file.
    ///
    /// # Errors
    /// `source-unreadable` if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|error| {
            let hint = "checkpoints are read from disk: download one first, as by `hf download owner/model`";
            Failure::unreadable("folder or file", path, format!("{error} ({hint})"))
        })?;
        if found.is_dir() {
            return Ok(Self { path: path.into(), only: None });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self { path: parent_of(path).into(), only: name })
    }

    /// Its name in messages.
    pub(super) fn label(&self) -> String {
        let path = self.only.as_ref().map_or(self.path.clone(), |only| self.path.join(only));
        path.display().to_string()
    }

    /// A folder in it, or itself for "".
    pub(super) fn subfolder(&self, name: &str) -> Self {
        if name.is_empty() { self.clone() } else { Self { path: self.path.join(name), only: None } }
    }

    /// Names of the files directly in the folder.
    pub(super) fn list(&self) -> Vec<String> {
        let entries = WalkDir::new(&self.path).min_depth(1).max_depth(1).sort_by_file_name();
        entries.into_iter().filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Paths of all files, subfolders included. Links to files are listed, those to folders are not followed.
    pub(super) fn tree(&self) -> Vec<String> {
        let is_listed = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            entry.depth() == 0 || !entry.file_type().is_dir() || !(name.starts_with('.') || name == "node_modules")
        };
        let entries = WalkDir::new(&self.path).max_depth(DEPTH + 1).sort_by_file_name();
        let files = entries.into_iter().filter_entry(is_listed).filter_map(|entry| entry.ok());
        let relative = |entry: walkdir::DirEntry| {
            let below = entry.path().strip_prefix(&self.path).ok()?;
            let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            (!entry.file_type().is_dir()).then(|| parts.join("/"))
        };
        files.filter_map(relative).collect()
    }

    /// Reads a small file as text; `None` if there is no such file.
    ///
    /// # Errors
    /// `source-unreadable`, and those of [`read_text`].
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        match open_regular(&path).and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)) {
            Ok(_) if bytes.len() as u64 > MAX_TEXT_BYTES => {
                Err(invalid_content(name, format!("expected at most {MAX_TEXT_BYTES} bytes, got more")))
            }
            Ok(_) => read_text(name, &bytes).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Failure::unreadable("file", &path, error)),
        }
    }

    /// Opens a large file; `None` if there is no such file.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn file(&self, name: &str) -> Result<Option<WeightsFile>> {
        let path = self.path.join(name);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                let file = File::open(&path).map_err(|error| Failure::unreadable("file", &path, error))?;
                Ok(Some(WeightsFile { name: name.into(), path, file: Arc::new(file), offset: 0, size: found.len() }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Failure::unreadable("file", &path, error)),
        }
    }
}

/// A safetensors file, or the part of a file that is one.
#[derive(Debug, Clone)]
pub(super) struct WeightsFile {
    pub(super) name: String,
    path: PathBuf,
    /// The open file, which its parts share.
    file: Arc<File>,
    /// Its first byte in the file.
    offset: u64,
    /// Length in bytes.
    pub(super) size: u64,
}

impl WeightsFile {
    /// The part `[begin, end)`.
    pub(super) fn part(&self, begin: u64, end: u64) -> Self {
        Self { offset: self.offset + begin, size: end.saturating_sub(begin), ..self.clone() }
    }

    /// Reads the bytes `[begin, end)` in pieces of at most `most` bytes.
    ///
    /// # Errors
    /// `source-unreadable`, and those of `take`.
    pub(super) fn read(
        &self,
        begin: u64,
        end: u64,
        most: usize,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |error: std::io::Error| Failure::unreadable("file", &self.path, error);
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.offset + begin)).map_err(unreadable)?;
        let mut buffer = vec![0; most.min((end - begin) as usize)];
        let mut left = end - begin;
        while left > 0 {
            let piece = &mut buffer[..most.min(left as usize)];
            file.read_exact(piece).map_err(unreadable)?;
            take(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Reads the bytes `[begin, end)` into memory.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn bytes(&self, begin: u64, end: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(begin, end, 1 << 20, |piece| {
            bytes.extend(piece);
            Ok(())
        })?;
        Ok(bytes)
    }
}
