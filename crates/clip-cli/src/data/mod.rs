//! Image–caption pairs, on disk or on servers: folders, tables and WebDataset shards, read as the package's `imageFolder`, `captionTable` and
//! `webDataset` read them (`ts/data/`), in the same order, so that a run can go on here that began in a browser.

mod batches;
mod brace_expand;
mod caption_table;
mod classes;
mod contained;
mod csv;
mod decode_text;
mod decoded;
mod file_index;
mod fill;
mod folder;
mod folder_tables;
mod guess_encoding;
mod gzip;
mod image_folder;
mod image_format;
mod json_values;
mod location;
mod prefetch;
mod read_file;
#[cfg(feature = "remote")]
mod remote;
#[cfg(not(feature = "remote"))]
#[path = "no_remote.rs"]
mod remote;
mod sample;
mod sniff;
mod source;
mod table_columns;
mod table_file;
mod table_images;
mod table_rows;
mod tar_headers;
mod tar_samples;
mod together;
mod webdataset;

pub use classes::{Classes, read_classes};
pub use decoded::{DecodedSample, decode_square, decoded};
pub use fill::{Filled, Filling, Skipped, fill};
pub use location::{Location, is_absolute, split_paths};
pub use prefetch::{Crop, Prefetch};
pub use remote::{Address, report_retries};
pub use sample::{Image, Sample};
pub use source::{DatasetType, ReadOptions, Source};

#[cfg(test)]
mod tests {
    //! Files for the tests of the readers.

    use std::path::PathBuf;

    use super::sample::{Sample, Sink};
    use crate::exit::Result;

    /// What a reader gives, a line a sample; only its error's code and message if it fails.
    pub(super) fn described(
        read: impl FnOnce(&mut Sink<'_>) -> Result<()>,
        mut describe: impl FnMut(Sample) -> String,
    ) -> Vec<String> {
        let mut out = Vec::new();
        let result = read(&mut |sample| {
            out.push(describe(sample));
            Ok(())
        });
        result.map_or_else(|error| vec![format!("{}: {error}", error.code)], |()| out)
    }

    pub(super) fn fixture_path(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test/fixtures").join(path)
    }

    pub(super) fn fixture(path: &str) -> Vec<u8> {
        std::fs::read(fixture_path(path)).unwrap()
    }

    pub(super) fn json(path: &str) -> serde_json::Value {
        serde_json::from_slice(&fixture(path)).unwrap()
    }

    pub(super) fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits = text.bytes().filter_map(|byte| DIGITS.iter().position(|&digit| digit == byte)).fold(
            (Vec::new(), 0u32, 0),
            |(mut out, bits, count), digit| {
                let (bits, count) = ((bits << 6 | digit as u32) & 0xffff, count + 6);
                if count < 8 {
                    return (out, bits, count);
                }
                out.push((bits >> (count - 8)) as u8);
                (out, bits, count - 8)
            },
        );
        bits.0
    }

    pub(super) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, body) in members {
            let mut header = tar::Header::new_gnu();
            // as it is: `set_path` would remove a leading `./`
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *body).unwrap();
        }
        builder.into_inner().unwrap()
    }
}
