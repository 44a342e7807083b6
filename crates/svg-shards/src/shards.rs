//! Tar files of a fixed number of samples, with headers that tell no time and no user.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use tar::{Builder, Header};

/// What was written of a split.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SplitCounts {
    pub(crate) samples: usize,
    pub(crate) shards: usize,
    /// Bytes of the pictures.
    pub(crate) png: usize,
}

/// What was written, and what was not.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) splits: BTreeMap<String, SplitCounts>,
    /// Drawings that are equal to earlier ones.
    pub(crate) duplicates: usize,
    /// Icons without a black or coloured pixel.
    pub(crate) blank: usize,
    /// Icons that resvg refused, and why.
    pub(crate) broken: Vec<String>,
}

/// A picture and its captions.
pub(crate) struct Sample<'a> {
    pub(crate) key: &'a str,
    pub(crate) png: &'a [u8],
    pub(crate) captions: &'a str,
}

/// The shards of all splits.
pub(crate) struct Shards {
    folder: PathBuf,
    per_shard: usize,
    open: BTreeMap<String, Builder<BufWriter<File>>>,
    written: BTreeMap<String, SplitCounts>,
}

impl Shards {
    pub(crate) fn new(folder: PathBuf, per_shard: usize) -> Self {
        Self { folder, per_shard, open: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// Appends a sample to the last shard of its split, or to a new one if that is full.
    pub(crate) fn add(&mut self, split: &str, sample: &Sample<'_>) -> Result<()> {
        let written = self.written.entry(split.to_owned()).or_default();
        if written.samples == written.shards * self.per_shard {
            let path = self.folder.join(format!("{split}-{:03}.tar", written.shards));
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            if let Some(full) = self.open.insert(split.to_owned(), Builder::new(BufWriter::new(file))) {
                close(full)?;
            }
            written.shards += 1;
        }
        let shard = self.open.get_mut(split).context("no shard is open")?;
        append(shard, &format!("{}.png", sample.key), sample.png)?;
        append(shard, &format!("{}.txt", sample.key), sample.captions.as_bytes())?;
        written.samples += 1;
        written.png += sample.png.len();
        Ok(())
    }

    /// Ends all shards, and returns what they hold.
    pub(crate) fn finish(&mut self) -> Result<BTreeMap<String, SplitCounts>> {
        for shard in std::mem::take(&mut self.open).into_values() {
            close(shard)?;
        }
        Ok(std::mem::take(&mut self.written))
    }
}

fn append(shard: &mut Builder<BufWriter<File>>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    shard.append_data(&mut header, name, bytes).with_context(|| format!("cannot write {name}"))
}

fn close(shard: Builder<BufWriter<File>>) -> Result<()> {
    Ok(shard.into_inner()?.flush()?)
}
