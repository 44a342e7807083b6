//! Draws SVGs into WebDataset shards. Reads a JSON object a line, `{ split, key, captions, svg }`, from stdin, and writes
//! `OUT/SPLIT-000.tar` and so on with a PNG and a text of one caption a line for each. The same lines make the same bytes. The last line on
//! stdout counts what was written and what was not, as JSON.
//!
//! A drawing that is pixel for pixel an earlier one is left out, so that no picture is in two splits: splits that come first keep theirs.

mod draw;
mod shards;

use std::collections::HashSet;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::draw::draw;
use crate::shards::{Counts, Sample, Shards};

/// Lines that are drawn at once, on all threads.
const CHUNK: usize = 4096;

/// A line of stdin.
#[derive(Debug, Deserialize)]
struct Icon {
    split: String,
    key: String,
    captions: Vec<String>,
    svg: String,
}

/// What came of an icon.
enum Drawn {
    Picture { png: Vec<u8>, hash: [u8; 32] },
    Blank,
    Broken(String),
}

fn drawn(icon: &Icon, size: u32) -> Result<Drawn> {
    let picture = match draw(&icon.svg, size) {
        Ok(picture) => picture,
        Err(error) => return Ok(Drawn::Broken(format!("{}: {error}", icon.key))),
    };
    if picture.is_blank() {
        return Ok(Drawn::Blank);
    }
    Ok(Drawn::Picture { hash: Sha256::digest(picture.pixels()).into(), png: picture.to_png()? })
}

/// Draws the icons of `lines` and writes them in their order.
fn write_all(lines: impl Iterator<Item = io::Result<String>>, size: u32, shards: &mut Shards) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut seen = HashSet::new();
    let mut lines = lines.enumerate().peekable();
    while lines.peek().is_some() {
        let icons = lines
            .by_ref()
            .take(CHUNK)
            .map(|(number, line)| {
                serde_json::from_str(&line?).with_context(|| format!("line {} is no icon", number + 1))
            })
            .collect::<Result<Vec<Icon>>>()?;
        let drawings = icons.par_iter().map(|icon| drawn(icon, size)).collect::<Result<Vec<_>>>()?;
        for (icon, drawing) in icons.iter().zip(drawings) {
            match drawing {
                Drawn::Blank => counts.blank += 1,
                Drawn::Broken(why) => counts.broken.push(why),
                Drawn::Picture { hash, .. } if !seen.insert(hash) => counts.duplicates += 1,
                Drawn::Picture { png, .. } => {
                    let captions = icon.captions.join("\n");
                    shards.add(&icon.split, &Sample { key: &icon.key, png: &png, captions: &captions })?;
                }
            }
        }
    }
    counts.splits = shards.finish()?;
    Ok(counts)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ensure!(arguments.len() == 3, "usage: svg-shards OUT SIZE PER_SHARD, with icons on stdin");
    let number = |index: usize| -> Result<u32> {
        let number = arguments[index].parse().with_context(|| format!("{} is no number", arguments[index]))?;
        ensure!(number > 0, "{} must be above 0", arguments[index]);
        Ok(number)
    };
    let mut shards = Shards::new(PathBuf::from(&arguments[0]), number(2)? as usize);
    let counts = write_all(io::stdin().lock().lines(), number(1)?, &mut shards)?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&counts)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(split: &str, key: &str, path: &str) -> String {
        let svg = format!(r#"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'><path d='{path}'/></svg>"#);
        serde_json::json!({ "split": split, "key": key, "captions": [key, "shape"], "svg": svg }).to_string()
    }

    fn run(lines: &[String]) -> (Counts, Vec<(String, Vec<u8>)>) {
        let folder = tempfile::tempdir().unwrap();
        let mut shards = Shards::new(folder.path().into(), 2);
        let counts = write_all(lines.iter().cloned().map(Ok), 16, &mut shards).unwrap();
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        (counts, files)
    }

    #[test]
    fn the_same_lines_make_the_same_shards_and_no_picture_is_in_two_splits() {
        let lines = [
            line("train", "a/square", "M4 4h16v16H4z"),
            line("train", "a/wide", "M2 8h20v8H2z"),
            line("train", "a/tall", "M8 2h8v20H8z"),
            line("train", "a/nothing", ""),
            line("heldout", "b/box", "M4 4H20V20H4Z"),
            line("heldout", "b/dot", "M10 10h4v4h-4z"),
            serde_json::json!({ "split": "train", "key": "a/bad", "captions": ["bad"], "svg": "<svg" }).to_string(),
        ];
        let (counts, files) = run(&lines);
        assert_eq!((counts.duplicates, counts.blank, counts.broken.len()), (1, 1, 1));
        assert_eq!((counts.splits["train"].samples, counts.splits["train"].shards), (3, 2));
        assert_eq!(counts.splits["heldout"].samples, 1);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["heldout-000.tar", "train-000.tar", "train-001.tar"]);
        assert_eq!(run(&lines).1, files);
    }

    #[test]
    fn a_line_that_is_no_icon_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let lines = [line("train", "a", "M0 0h9v9z"), "{}".to_owned()];
        let error = write_all(lines.into_iter().map(Ok), 16, &mut Shards::new(folder.path().into(), 2)).unwrap_err();
        assert_eq!(error.to_string(), "line 2 is no icon");
    }
}
