//! Finds the images that a table names, beside it on disk.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::location::locate;
use super::sample::Image;
use crate::exit::{Failure, Result};

/// Returns the spelling of a path that exists on disk: with `/` for `\`, in NFC or NFD, since tables may come from another platform.
fn spelled_on_disk(folder: &Path, name: &str) -> PathBuf {
    let slashed = name.replace('\\', "/");
    let spellings = [name.to_owned(), slashed.clone(), slashed.nfc().collect(), slashed.nfd().collect()];
    let found = spellings.iter().map(|spelling| folder.join(spelling)).find(|path| path.exists());
    found.unwrap_or_else(|| folder.join(name))
}

/// Finds an image that a table names, beside the table.
///
/// # Errors
/// `invalid-dataset` for an address.
pub(super) fn image_beside(folder: &Path, name: &str) -> Result<Image> {
    let advice = "an address, which is not downloaded: download the images first, as img2dataset does";
    let path = locate(name).ok_or_else(|| Failure::dataset(advice))?;
    Ok(Image::File(spelled_on_disk(folder, &path.to_string_lossy())))
}
