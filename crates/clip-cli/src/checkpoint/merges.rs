//! CLIP's published vocabulary, which is part of the program.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::exit::{Failure, Result};

const MERGES: &[u8] = include_bytes!("../../../../assets/clip-merges.txt.gz");

/// Returns the published merges.
///
/// # Errors
/// `invalid-tokenizer` for a damaged program.
pub fn published_merges() -> Result<String> {
    let mut text = String::new();
    let read = GzDecoder::new(MERGES).read_to_string(&mut text);
    read.map_err(|error| Failure::new("invalid-tokenizer", format!("the program's own merges: {error}")))?;
    Ok(text)
}
