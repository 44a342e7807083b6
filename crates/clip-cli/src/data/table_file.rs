//! Unpacks the file of a table, and refuses other formats by name.

use std::io::Read;

use super::gzip::{Gzip, MAGIC};
use super::sniff::content_of;
use crate::exit::{Failure, Result};

/// Bytes of the largest table.
pub(super) const MAX_TABLE_BYTES: u64 = 1 << 29;

/// Unpacks the file of a table, and refuses other formats by name.
///
/// # Errors
/// `invalid-dataset` for a truncated gzip file, and for a format that is known to be no table.
pub(super) fn open_table(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.starts_with(&MAGIC) {
        let mut unpacked = Vec::new();
        let mut reader = Gzip::new(bytes.as_slice()).take(MAX_TABLE_BYTES + 1);
        let read = reader.read_to_end(&mut unpacked);
        read.map_err(|error| Failure::dataset(format!("cannot unpack the gzip file: {error}")))?;
        if unpacked.len() as u64 > MAX_TABLE_BYTES {
            return Err(Failure::dataset(format!("expected at most {MAX_TABLE_BYTES} bytes, got more")));
        }
        return Ok(unpacked);
    }
    match content_of(&bytes) {
        None => Ok(bytes),
        Some(content) if ["text", "JSON", "an empty file"].contains(&content.as_str()) => Ok(bytes),
        Some(content) => {
            let hint = if content == "a zip archive" { " (an Excel workbook? save it as CSV)" } else { "" };
            Err(Failure::dataset(format!("expected a table as csv, tsv or JSON lines, got {content}{hint}")))
        }
    }
}
