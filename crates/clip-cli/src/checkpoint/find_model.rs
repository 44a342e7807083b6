//! Finds the one model in a folder of folders.

use std::collections::BTreeSet;

use super::folder::Folder;
use super::text::{invalid_content, parse_json};
use crate::exit::{Failure, Result};

/// Folders that a message names.
const MAX_NAMED: usize = 8;

/// Weights of an adapter, which are no model.
pub(super) const ADAPTER: &str = "adapter_model.safetensors";

/// Whether a file holds the weights of a model, or the index of its shards.
pub(super) fn is_weights(name: &str) -> bool {
    (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) && name != ADAPTER
}

/// Whether a file belongs to a model whose weights are missing, or in a format that is not read.
fn is_model_file(name: &str) -> bool {
    ["config.json", "open_clip_config.json"].contains(&name)
        || [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end))
}

/// Returns the folder itself if it directly holds the wanted file, otherwise its only subfolder that does; for sentence-transformers the
/// subfolder that `modules.json` names.
///
/// # Errors
/// `invalid-source` naming the subfolders if several hold one; `invalid-config` for another `modules.json`.
pub(super) fn find_model(folder: Folder, is_wanted: fn(&str) -> bool) -> Result<Folder> {
    if folder.only.is_some() {
        return Ok(folder);
    }
    if let Some(modules) = folder.text("modules.json")? {
        return Ok(folder.subfolder(&clip_folder(&modules)?));
    }
    // a folder on disk was named by its path, so its subfolders are not searched where it holds a model itself
    if folder.list().iter().any(|name| is_wanted(name)) {
        return Ok(folder);
    }
    let paths = folder.tree();
    let folders_with = |is: &dyn Fn(&str) -> bool| -> Vec<String> {
        let split = paths.iter().map(|path| path.rsplit_once('/').unwrap_or(("", path)));
        let found: BTreeSet<String> = split.filter(|(_, name)| is(name)).map(|(folder, _)| folder.to_owned()).collect();
        found.into_iter().collect()
    };
    let mut folders = folders_with(&is_wanted);
    if folders.len() > 1 {
        let more = folders.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = folders[..folders.len().min(MAX_NAMED)].join(", ");
        let got = format!("got {} folders with weights: {named}{more}", folders.len());
        let message = format!("{}: expected the files of one model, {got}; give one of them", folder.label());
        return Err(Failure::new("invalid-source", message));
    }
    // no weights: the folder of the other files, so that the error lists what it lacks
    folders.extend(folders_with(&is_model_file));
    Ok(folder.subfolder(folders.first().map_or("", String::as_str)))
}

/// Returns the subfolder of the CLIP that a `modules.json` of sentence-transformers lists, "" for the folder itself.
fn clip_folder(modules: &str) -> Result<String> {
    let value = parse_json("modules.json", modules)?;
    let typed: Vec<(String, &serde_json::Value)> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|module| {
            let full = module["type"].as_str().unwrap_or_default();
            (full.rsplit('.').next().unwrap_or_default().to_owned(), &module["path"])
        })
        .collect();
    let of_type = |wanted: &str| typed.iter().position(|(kind, _)| kind == wanted);
    let clip = of_type("CLIPModel").or_else(|| of_type("Transformer"));
    // embeddings have length one anyway
    let others = typed.iter().enumerate().filter(|(at, (kind, _))| Some(*at) != clip && kind != "Normalize").count();
    let Some((_, path)) = clip.filter(|_| others == 0).map(|at| &typed[at]) else {
        let kinds: Vec<&str> = typed.iter().map(|(kind, _)| kind.as_str()).collect();
        let got = if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
        let problem = format!("expected a CLIPModel alone, got {got}: other modules are not supported");
        return Err(invalid_content("modules.json", problem));
    };
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    match path {
        serde_json::Value::Null => Ok(String::new()),
        serde_json::Value::String(path) if path.is_empty() || path.split('/').all(is_plain) => Ok(path.clone()),
        other => Err(invalid_content("modules.json", format!("expected the path of a subfolder, got {other}"))),
    }
}
