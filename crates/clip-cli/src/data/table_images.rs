//! Finds the images that a table names, relative to its address, or to its folder on disk.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::location::{Location, is_absolute, locate};
use super::remote::Address;
use super::sample::Image;
use crate::exit::Result;

/// Returns the spelling of a path that exists on disk: with `/` for `\`, in NFC or NFD, since tables may come from another platform.
fn spelled_on_disk(folder: &Path, name: &str) -> PathBuf {
    let slashed = name.replace('\\', "/");
    let spellings = [name.to_owned(), slashed.clone(), slashed.nfc().collect(), slashed.nfd().collect()];
    let found = spellings.iter().map(|spelling| folder.join(spelling)).find(|path| path.exists());
    found.unwrap_or_else(|| folder.join(name))
}

/// Finds the images of a table: the image of each name.
pub(super) struct ImagesBeside<'a> {
    table: &'a Location,
    /// Whether `\` separates folders on the server, as in tables from Windows, or is part of names: the first such name tells.
    separates: Option<bool>,
}

impl<'a> ImagesBeside<'a> {
    pub(super) fn new(table: &'a Location) -> Self {
        Self { table, separates: None }
    }

    /// Finds the image of a name; absolute addresses are addresses.
    ///
    /// # Errors
    /// `invalid-source`, `invalid-dataset` for a name that cannot be one.
    pub(super) fn find(&mut self, name: &str) -> Result<Image> {
        let download = |address| Image::Download { address, bytes: None };
        match self.table {
            Location::Address(table) => self.at_address(table, name).map(download),
            Location::Path(table) => Ok(match locate(name)? {
                Location::Path(path) => {
                    Image::File(spelled_on_disk(table.parent().unwrap_or(Path::new("")), &path.to_string_lossy()))
                }
                Location::Address(address) => download(address),
            }),
        }
    }

    fn at_address(&mut self, table: &Address, name: &str) -> Result<Address> {
        let address = table.beside(name, is_absolute(name))?;
        if !name.contains('\\') || is_absolute(name) {
            return Ok(address);
        }
        let separates = *self.separates.get_or_insert_with(|| !address.exists());
        if separates { table.beside(&name.replace('\\', "/"), false) } else { Ok(address) }
    }
}
