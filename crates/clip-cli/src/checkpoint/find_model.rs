//! Finds the one model in a folder of folders.

use std::collections::BTreeSet;

use super::folder::Folder;
use super::sentence_transformers::clip_folder;
use crate::exit::{Failure, Result};

/// Folders that a message names.
const MAX_NAMED: usize = 8;

/// Weights of an adapter, which are no model.
pub(super) const ADAPTER: &str = "adapter_model.safetensors";

/// What a folder is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A model.
    Model,
    /// An adapter.
    Adapter,
}

impl Wanted {
    fn is(self, name: &str) -> bool {
        match self {
            Self::Model => is_weights(name),
            Self::Adapter => name == ADAPTER,
        }
    }
}

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
pub(super) fn find_model(folder: Folder, wanted: Wanted) -> Result<Folder> {
    if folder.only.is_some() {
        return Ok(folder);
    }
    // modules.json lists models, no adapters
    if wanted == Wanted::Model
        && let Some(modules) = folder.text("modules.json")?
    {
        return Ok(folder.subfolder(&clip_folder(&modules)?));
    }
    // its subfolders are searched only where it holds no model itself
    if folder.list().iter().any(|name| wanted.is(name)) {
        return Ok(folder);
    }
    let paths = folder.tree();
    let folders_with = |is: &dyn Fn(&str) -> bool| -> Vec<String> {
        let split = paths.iter().map(|path| path.rsplit_once('/').unwrap_or(("", path)));
        let found: BTreeSet<String> = split.filter(|(_, name)| is(name)).map(|(folder, _)| folder.to_owned()).collect();
        found.into_iter().collect()
    };
    let mut folders = folders_with(&|name| wanted.is(name));
    if folders.len() > 1 {
        let more = folders.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = folders[..folders.len().min(MAX_NAMED)].join(", ");
        let got = format!("got {} folders with weights: {named}{more}", folders.len());
        let message = format!("{}: expected the files of one model, {got}; give one of them", folder.label());
        return Err(Failure::new("invalid-source", message));
    }
    // without weights anywhere, the folder of a model's other files: the error then says which file it lacks
    folders.extend(folders_with(&is_model_file));
    Ok(folder.subfolder(folders.first().map_or("", String::as_str)))
}
