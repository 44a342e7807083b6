//! The CLIP in a folder of sentence-transformers.

use serde_json::Value;

use super::text::{invalid_content, parse_json};
use crate::exit::Result;

/// Returns the subfolder of the CLIP that a `modules.json` of sentence-transformers lists, "" for the folder itself.
///
/// # Errors
/// `invalid-config` for other modules beside it.
pub(super) fn clip_folder(modules: &str) -> Result<String> {
    let value = parse_json("modules.json", modules)?;
    let typed: Vec<(String, &Value)> = value
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
    // Normalize changes nothing: embeddings have length 1
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
        Value::Null => Ok(String::new()),
        Value::String(path) if path.is_empty() || path.split('/').all(is_plain) => Ok(path.clone()),
        other => Err(invalid_content("modules.json", format!("expected the path of a subfolder, got {other}"))),
    }
}
