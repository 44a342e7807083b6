//! Options of Hugging Face's tokenizers: special and added tokens, sides of padding and truncation.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::added::AddedToken;
use super::hf::{MAX_ID, TokenizerFiles, invalid, parse, quoted};
use super::{END, Reference, START, Side};
use crate::config::short;
use crate::error::Result;

/// Names of special tokens, in the order in which they are added.
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Keys of `tokenizer_config.json` that are read, besides special tokens, which are all keys that end with `_token`.
const READ: [&str; 9] = [
    "padding_side",
    "truncation_side",
    "split_special_tokens",
    "added_tokens_decoder",
    "extra_special_tokens",
    "additional_special_tokens",
    "model_specific_special_tokens",
    "model_max_length",
    "max_len",
];

/// Keys without effect on the ids of a `CLIPTokenizer`.
const WITHOUT_EFFECT: &str = "
    _commit_hash _from_auto _json_padding _json_truncation _spm_precompiled_charsmap add_bos_token add_eos_token
    add_prefix_space auto_map backend chat_control_tokens chat_template clean_up_tokenization_spaces
    clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output device_map do_lower_case errors
    files_loaded fix_mistral_regex from_slow full_tokenizer_file gguf_file init_inputs is_local language legacy
    local_files_only max_length merges merges_file model_input_names name_or_path pad_to_multiple_of pad_token_type_id
    post_processor processor_class response_schema response_template special_tokens_map_file stride tokenizer
    tokenizer_class tokenizer_file tokenizer_object tokenizer_padding tokenizer_truncation transformers_version
    trim_offsets truncation_strategy unk_id use_fast verbose vocab vocab_file";

/// Options that the files beside a vocabulary give; they also apply to merges that are given later.
#[derive(Debug, Clone, Default)]
pub(crate) struct HfOptions {
    pub(super) added: Vec<AddedToken>,
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    pub(super) pad: Option<String>,
    pub(super) padding_side: Side,
    pub(super) truncation_side: Side,
    /// `split_special_tokens`: special tokens spelled out in a text are encoded as text.
    pub(super) split_special: bool,
    /// `model_max_length`: length to which Hugging Face's tokenizer pads and truncates.
    pub(crate) max_length: Option<f64>,
}

impl HfOptions {
    /// Whether there are tokens besides CLIP's start and end.
    pub(crate) fn adds_tokens(&self) -> bool {
        self.added.iter().any(|token| token.content != START && token.content != END)
    }

    /// Reads the files. Only Hugging Face's tokenizers follow them; for other references they only give warnings.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(super) fn read(
        files: &TokenizerFiles<'_>,
        json: Option<&Map<String, Value>>,
        reference: Reference,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let mut config = object(files.config, "tokenizer_config.json")?;
        let added = read_added(&mut config, files, json)?;
        if !reference.is_hf() {
            let more: Vec<&str> =
                added.iter().map(|t| t.content.as_str()).filter(|t| ![START, END].contains(t)).collect();
            if !more.is_empty() {
                warnings.push(format!(
                    "the tokenizer's added tokens {} are not used: OpenCLIP's tokenizer does not support them",
                    quoted(&more)
                ));
            }
            return Ok(Self::default());
        }
        let unknown = config.iter().filter(|(key, value)| {
            let is_token = key.ends_with("_token") && !(value.is_number() || value.is_array());
            !READ.contains(&key.as_str())
                && !WITHOUT_EFFECT.split_whitespace().any(|known| known == *key)
                && !is_token
                && !NAMED.contains(&key.as_str())
        });
        warnings.extend(unknown.map(|(key, _)| format!("tokenizer_config.json: {key} is not known and was not used")));
        fill_defaults(&mut config, warnings);
        let (added, mut named) = add_special(added, special_tokens(&config)?, reference);
        Ok(Self {
            added,
            start: named.remove("bos_token"),
            end: named.remove("eos_token"),
            pad: named.remove("pad_token"),
            padding_side: side(&config, "padding_side", json.and_then(|file| file.get("padding")))?,
            truncation_side: side(&config, "truncation_side", json.and_then(|file| file.get("truncation")))?,
            split_special: flag(&config, "split_special_tokens")?,
            max_length: config.get("model_max_length").or_else(|| config.get("max_len")).and_then(Value::as_f64),
        })
    }
}

fn object(json: Option<&str>, file: &str) -> Result<Map<String, Value>> {
    json.map_or_else(|| Ok(Map::new()), |json| parse(json, file))
}

/// Reads the added tokens, in the order of their ids: those of `added_tokens_decoder` if there is one, else those of the older files,
/// whose special tokens go into `config`.
fn read_added(
    config: &mut Map<String, Value>,
    files: &TokenizerFiles<'_>,
    json: Option<&Map<String, Value>>,
) -> Result<Vec<AddedToken>> {
    // of two tokens with one id, the later wins
    let mut added: BTreeMap<u64, AddedToken> = BTreeMap::new();
    if let Some(value) = config.get("added_tokens_decoder").filter(|value| !value.is_null()) {
        let problem =
            || format!("tokenizer_config.json: added_tokens_decoder: expected an object, got {}", short(value));
        let decoder = value.as_object().ok_or_else(|| invalid(problem()))?;
        for (id, value) in decoder {
            let id = check_id(id.parse().ok(), "tokenizer_config.json: added_tokens_decoder")?;
            added.insert(id, token(value, "tokenizer_config.json", "added_tokens_decoder")?);
        }
    } else {
        config.extend(object(files.special_tokens, "special_tokens_map.json")?);
        let special: Vec<String> = special_tokens(config)?.into_iter().map(|(_, token)| token.content).collect();
        for (content, id) in object(files.added_tokens, "added_tokens.json")? {
            let id = check_id(id.as_u64(), "added_tokens.json")?;
            let is_special = special.contains(&content);
            added.insert(id, if is_special { AddedToken::special(&content) } else { AddedToken::plain(&content) });
        }
        for value in json.and_then(|file| file.get("added_tokens")?.as_array()).into_iter().flatten() {
            let id = value.get("id").map_or(Some(0), Value::as_u64);
            added
                .insert(check_id(id, "tokenizer.json: added_tokens")?, token(value, "tokenizer.json", "added_tokens")?);
        }
    }
    Ok(added.into_values().collect())
}

/// Sets the special tokens that a config leaves out to those of `CLIPTokenizer`.
fn fill_defaults(config: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    for (key, default) in [("bos_token", START), ("eos_token", END), ("unk_token", END), ("pad_token", END)] {
        let value = config.get(key);
        if key == "pad_token" && value.is_some_and(Value::is_null) {
            warnings.push(format!("tokenizer_config.json: pad_token is null: texts are padded with {END}"));
        }
        if value.is_none_or(Value::is_null) {
            config.insert(key.into(), default.into());
        }
    }
}

/// Marks the special tokens among the added ones and appends those that are missing. Also returns their contents by name.
fn add_special(
    mut added: Vec<AddedToken>,
    special: Vec<(String, AddedToken)>,
    reference: Reference,
) -> (Vec<AddedToken>, HashMap<String, String>) {
    let mut named = HashMap::new();
    for (key, mut token) in special {
        match added.iter_mut().find(|known| known.content == token.content) {
            Some(known) => known.special = true,
            None => {
                if [START, END].contains(&token.content.as_str()) && reference == Reference::HfNormalized {
                    token.normalized = Some(true);
                }
                token.special = true;
                added.push(token.clone());
            }
        }
        named.insert(key, token.content);
    }
    (added, named)
}

/// A flag of a config; `false` without it.
fn flag(config: &Map<String, Value>, key: &str) -> Result<bool> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => {
            Err(invalid(format!("tokenizer_config.json: {key}: expected true or false, got {}", short(other))))
        }
    }
}

/// A side as `config` gives it, else as the `padding` or `truncation` of a `tokenizer.json` does.
fn side(config: &Map<String, Value>, key: &str, from_json: Option<&Value>) -> Result<Side> {
    let given = config.get(key).filter(|value| !value.is_null()).cloned();
    let name = given.or_else(|| Some(from_json?.get("direction")?.as_str()?.to_lowercase().into()));
    match name.as_ref().map(Value::as_str) {
        None | Some(Some("right")) => Ok(Side::Right),
        Some(Some("left")) => Ok(Side::Left),
        Some(_) => Err(invalid(format!(
            "tokenizer_config.json: {key}: expected \"left\" or \"right\", got {}",
            name.as_ref().map(short).unwrap_or_default()
        ))),
    }
}

/// Special tokens of a config, in the order in which they are added: those of known names, of other names, without names.
fn special_tokens(config: &Map<String, Value>) -> Result<Vec<(String, AddedToken)>> {
    const FILE: &str = "tokenizer_config.json";
    let is_token = |value: &Value| value.is_string() || value.get("content").is_some();
    let mut found = Vec::new();
    for key in NAMED {
        if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
            found.push((key.to_owned(), token(value, FILE, key)?));
        }
    }
    for (key, value) in config {
        if key.ends_with("_token") && !NAMED.contains(&key.as_str()) && is_token(value) {
            found.push((key.clone(), token(value, FILE, key)?));
        }
    }
    let extra = config.get("extra_special_tokens").or_else(|| config.get("additional_special_tokens"));
    let specific = config.get("model_specific_special_tokens");
    for (key, value) in [("model_specific_special_tokens", specific), ("extra_special_tokens", extra)] {
        match value {
            None | Some(Value::Null) => {}
            Some(Value::Array(tokens)) => {
                for value in tokens {
                    found.push((String::new(), token(value, FILE, key)?));
                }
            }
            Some(Value::Object(tokens)) => {
                for (name, value) in tokens {
                    found.push((name.clone(), token(value, FILE, key)?));
                }
            }
            Some(other) => return Err(invalid(format!("{FILE}: {key}: expected tokens, got {}", short(other)))),
        }
    }
    Ok(found)
}

/// Checks an id, by which the tokens of several files are sorted.
fn check_id(id: Option<u64>, file: &str) -> Result<u64> {
    id.filter(|&id| id <= MAX_ID).ok_or_else(|| invalid(format!("{file}: expected an id for each token")))
}

/// Reads a token: a string or an object.
fn token(value: &Value, file: &str, key: &str) -> Result<AddedToken> {
    let token = match value {
        Value::String(content) => Some(AddedToken::special(content)),
        other => AddedToken::from_json(other),
    };
    token.ok_or_else(|| invalid(format!("{file}: {key}: expected a token, got {}", short(value))))
}
