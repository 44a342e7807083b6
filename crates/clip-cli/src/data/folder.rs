//! Lists the files of a folder.

use std::io::Read;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use unicode_normalization::UnicodeNormalization;
use walkdir::WalkDir;

use super::image_format::{HEAD_BYTES, could_be_image, format_of_extension};
use super::read_file::{open_file, read_at_most};
use super::sniff::{Inspection, inspect};
use crate::exit::{Failure, Result};

/// Files that are inspected at the same time.
const READERS: usize = 16;

/// A file in a folder.
#[derive(Debug, Clone)]
pub(super) struct FolderFile {
    /// Path from the folder on, with `/`.
    pub(super) path: String,
    /// Where it is on disk.
    pub(super) location: PathBuf,
}

impl FolderFile {
    /// # Errors
    /// `source-unreadable`; `invalid-dataset` for more than `limit` bytes.
    pub(super) fn bytes(&self, limit: u64) -> Result<Vec<u8>> {
        read_at_most(&self.location, limit)
    }

    /// Returns its first bytes, which tell the format.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn head(&self) -> Result<Vec<u8>> {
        read_head(&self.location)
    }

    /// Inspects the file. The extension alone rules out other kinds of files, so that large folders are listed quickly.
    pub(super) fn inspect(&self) -> Inspection {
        let (_, extension) = split_path(&self.path);
        if !could_be_image(&extension) {
            return Inspection::default();
        }
        match self.head() {
            Ok(head) => inspect(&head, &extension),
            Err(error) => {
                let is_image = format_of_extension(&extension).is_some();
                Inspection { is_image, problem: Some(error.message) }
            }
        }
    }
}

/// Inspects files on threads of their own: a disk far away answers many at the same time, and the program's pool may be busy.
pub(super) fn inspect_all(files: &[&FolderFile]) -> Vec<Inspection> {
    let inspect = |some: &[&FolderFile]| -> Vec<Inspection> { some.iter().map(|file| file.inspect()).collect() };
    let part = files.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = files.chunks(part).map(|some| scope.spawn(move || inspect(some))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Returns the first bytes of a file.
///
/// # Errors
/// `source-unreadable`.
pub(super) fn read_head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = open_file(path)?.take(HEAD_BYTES as u64).read_to_end(&mut head);
    read.map(|_| head).map_err(|error| Failure::unreadable("file", path, error))
}

/// Splits a path into the path without extension and the extension in lower case.
pub(super) fn split_path(path: &str) -> (&str, String) {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path.rfind('.') {
        Some(dot) if dot >= name => (&path[..dot], path[dot + 1..].to_lowercase()),
        _ => (path, String::new()),
    }
}

/// Returns the folder of a path, with a slash at its end.
pub(super) fn folder_of(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Normalizes a path for comparison: macOS decomposes names (NFD), typed text is mostly composed (NFC).
pub(super) fn composed(path: &str) -> String {
    path.nfc().collect()
}

/// Whether a part of a path is hidden, or a folder that macOS adds to archives.
pub(super) fn is_hidden(part: &str) -> bool {
    part.starts_with('.') || part == "__MACOSX"
}

/// Lists the files of a folder and its subfolders, in the order of their paths. Hidden files are left out. Follows links, except those
/// that lead back to a folder above; a dangling link is listed, and fails when it is read.
///
/// # Errors
/// `source-unreadable`.
pub(super) fn list_folder(folder: &Path) -> Result<Vec<FolderFile>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1).follow_links(true) {
        let location = match entry {
            // no pipes, which could block for ever, and no devices
            Ok(entry) if entry.file_type().is_file() => entry.into_path(),
            Ok(_) => continue,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => match error.path() {
                Some(path) if path.is_symlink() => path.to_path_buf(),
                path => return Err(Failure::unreadable("folder", path.unwrap_or(folder), &error)),
            },
        };
        let below = location.strip_prefix(folder).unwrap_or(&location);
        let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        if !parts.iter().any(|part| is_hidden(part)) {
            files.push(FolderFile { path: parts.join("/"), location });
        }
    }
    // in the order of JavaScript's strings
    files.sort_by(|a, b| a.path.encode_utf16().cmp(b.path.encode_utf16()));
    Ok(files)
}
