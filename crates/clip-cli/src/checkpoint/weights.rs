//! Finds the safetensors files of a checkpoint, and reads their headers.

use clip_core::checkpoint::Header;
use serde_json::Value;

use super::find_model::is_weights;
use super::folder::{Folder, WeightsFile};
use super::side_files::is_hugging_face;
use super::text::check_safetensors;
use crate::exit::{Failure, Result};

/// Bytes read for a header whose length is not known yet; most are shorter.
const HEADER_GUESS: u64 = 1 << 16;
/// Files that a message names.
const MAX_NAMED: usize = 8;

/// The error for a file that a folder does not have.
pub(super) fn missing_file(folder: &Folder, expected: &str) -> Failure {
    let names = folder.list();
    let got = if names.is_empty() { "no files".into() } else { names[..names.len().min(MAX_NAMED)].join(", ") };
    let is_pickle = |name: &&String| [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end));
    let pickle = names.iter().find(is_pickle);
    let state = names.iter().find(|name| name.ends_with(".clip"));
    let hint = match (pickle, state) {
        (Some(name), _) => format!("; {name} is a pickle, which can run code: convert it to safetensors"),
        (None, Some(name)) => format!("; {name} is a training state: name the file itself"),
        (None, None) => String::new(),
    };
    Failure::new("invalid-source", format!("{}: expected {expected}, got {got}{hint}", folder.label()))
}

/// Reads the names of the shards from a checkpoint's index.
fn shard_names(index: &str, name: &str) -> Result<Vec<String>> {
    let value: Value = serde_json::from_str(index).unwrap_or_default();
    let mut names: Vec<&Value> = value["weight_map"].as_object().into_iter().flat_map(|map| map.values()).collect();
    // a shard lies beside its index
    let is_name =
        |shard: &str| shard.ends_with(".safetensors") && !shard.contains(|c: char| "/\\".contains(c) || c.is_control());
    let bad = names.iter().find(|shard| !shard.as_str().is_some_and(is_name));
    if let Some(got) = bad.map(|bad| bad.to_string()).or_else(|| names.is_empty().then(|| "no weight_map".into())) {
        let message = format!("{name}: expected a weight_map to .safetensors files, got {got}");
        return Err(Failure::new("invalid-checkpoint", message));
    }
    names.sort_by_key(|name| name.as_str());
    names.dedup();
    Ok(names.into_iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Opens the weights: one file, or the shards of an index. Hugging Face's name goes first, unless the config is OpenCLIP's.
///
/// # Errors
/// `invalid-source` if there are no weights.
pub(super) fn open_weights(folder: &Folder, config: Option<&str>) -> Result<Vec<WeightsFile>> {
    let mut wanted = ["model.safetensors", "open_clip_model.safetensors"];
    if config.is_some_and(|config| !is_hugging_face(config)) {
        wanted.reverse();
    }
    for name in wanted {
        if let Some(file) = folder.file(name)? {
            return Ok(vec![file]);
        }
        let index_name = format!("{name}.index.json");
        let Some(index) = folder.text(&index_name)? else { continue };
        let open = |shard: String| folder.file(&shard)?.ok_or_else(|| missing_file(folder, &format!("shard {shard}")));
        return shard_names(&index, &index_name)?.into_iter().map(open).collect();
    }
    let names = folder.list();
    let others: Vec<&String> = names.iter().filter(|name| name.ends_with(".safetensors") && is_weights(name)).collect();
    let only = if let [only] = others.as_slice() { folder.file(only)? } else { None };
    only.map(|file| vec![file])
        .ok_or_else(|| missing_file(folder, &format!("{} or another .safetensors file", wanted[0])))
}

/// Reads the header of a safetensors file.
///
/// # Errors
/// `invalid-checkpoint`, `source-unreadable`.
pub(super) fn read_header(file: &WeightsFile) -> Result<Header> {
    let mut start = file.bytes(0, file.size.min(HEADER_GUESS))?;
    check_safetensors(&file.name, &start)?;
    let of_file = |error| Failure::from(error).about(&file.name);
    let length = Header::length(&start).map_err(of_file)? as u64;
    let length = length.min(file.size);
    if length > start.len() as u64 {
        start.extend(file.bytes(start.len() as u64, length)?);
    }
    Header::parse(&start, file.size).map_err(of_file)
}
