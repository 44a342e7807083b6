//! Tells CLIP's tokenizer from others.

use serde::Deserialize;
use serde_json::Value;

/// The parts of a `tokenizer.json` that tell: its vocabulary, which may have 30 MB, is skipped.
#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    end_of_word_suffix: Value,
}

/// Types of the steps of a normalizer or a pre-tokenizer: one step or a sequence.
fn types_of<'a>(steps: &'a Value, list: &str) -> Vec<&'a str> {
    let each = match &steps[list] {
        Value::Array(steps) => steps.iter().collect(),
        _ if steps.is_object() => vec![steps],
        _ => Vec::new(),
    };
    each.into_iter().map(|step| step["type"].as_str().unwrap_or_default()).collect()
}

/// Whether a `tokenizer.json` is CLIP's. If `tokenizer_config.json` names another class than `CLIPTokenizer`, the file's steps must be
/// CLIP's, because other classes apply them. `true` for other JSON and for text that is not JSON:
/// the core refuses both.
pub(super) fn is_clip_tokenizer(json: &str, config: Option<&str>) -> bool {
    let Ok(file) = serde_json::from_str::<File>(json) else { return true };
    if file.model.end_of_word_suffix != "</w>" {
        return false;
    }
    let config: Value = config.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    match config["tokenizer_class"].as_str() {
        None | Some("CLIPTokenizer" | "CLIPTokenizerFast") => true,
        Some(_) => {
            types_of(&file.normalizer, "normalizers") == ["NFC", "Replace", "Lowercase"]
                && types_of(&file.pre_tokenizer, "pretokenizers") == ["Split", "ByteLevel"]
        }
    }
}
