//! Finds files by the names that tables give them.

use std::collections::HashMap;

use super::folder::{FolderFile, composed, folder_of, split_path};
use super::sample::Image;
use super::sniff::{content_of, inspect};
use crate::exit::{Failure, Result};

/// Resolves a name in a table to a path in the folder; `None` for one that leads out of it.
fn resolve(name: &str, beside: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let path = format!("{beside}{name}");
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop()?;
            }
            "" | "." => {}
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

/// Keys under which similar paths meet: in lower case, without extension, without folders.
fn similar_keys(path: &str) -> [String; 3] {
    let lower = composed(path).to_lowercase();
    [format!("={lower}"), format!(".{}", split_path(&lower).0), format!("/{}", &lower[folder_of(&lower).len()..])]
}

/// Files by path. Names may use `/` or `\`, `./` and `../`, NFC or NFD.
pub(super) struct FileIndex<'a> {
    by_path: HashMap<String, &'a FolderFile>,
    by_similar: HashMap<String, &'a FolderFile>,
}

impl<'a> FileIndex<'a> {
    pub(super) fn new(files: impl IntoIterator<Item = &'a FolderFile>) -> Self {
        let mut index = Self { by_path: HashMap::new(), by_similar: HashMap::new() };
        for file in files {
            index.by_path.insert(composed(&file.path), file);
            for key in similar_keys(&file.path) {
                index.by_similar.entry(key).or_insert(file);
            }
        }
        index
    }

    /// Returns the file of a name relative to the folder `beside`.
    pub(super) fn find(&self, name: &str, beside: &str) -> Option<&'a FolderFile> {
        let of = |spelling: &str| self.by_path.get(&resolve(&composed(spelling), beside)?).copied();
        of(name).or_else(|| of(&name.replace('\\', "/")))
    }

    /// Returns "did you mean …?" for messages where a file of a similar name exists, and "" otherwise.
    pub(super) fn hint(&self, name: &str) -> String {
        let near = similar_keys(&name.replace('\\', "/")).iter().find_map(|key| self.by_similar.get(key));
        near.map_or(String::new(), |file| format!("; did you mean {}?", file.path))
    }

    /// # Errors
    /// `invalid-dataset`.
    pub(super) fn get(&self, name: &str, beside: &str) -> Result<&'a FolderFile> {
        let missing = || format!("no image of that name{}", self.hint(&format!("{beside}{name}")));
        self.find(name, beside).ok_or_else(|| Failure::dataset(missing()))
    }
}

/// Returns a file that a table names as an image.
///
/// # Errors
/// `invalid-dataset` for a file that is no image, or cannot be decoded here; `source-unreadable`.
pub(super) fn image_of(file: &FolderFile) -> Result<Image> {
    let head = file.head()?;
    let inspection = inspect(&head, &split_path(&file.path).1);
    let content = if inspection.is_image { None } else { content_of(&head) };
    match inspection.problem.or_else(|| content.map(|content| format!("expected an image, got {content}"))) {
        Some(wrong) => Err(Failure::dataset(format!("{}: {wrong}", file.path))),
        None => Ok(Image::File(file.location.clone())),
    }
}
