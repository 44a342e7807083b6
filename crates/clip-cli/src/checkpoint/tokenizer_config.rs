//! What a `tokenizer_config.json` says, checked without the tokenizer itself.

use serde_json::{Map, Value};

use super::text::invalid_content;
use crate::exit::Result;

const FILE: &str = "tokenizer_config.json";

/// Keys that are used, besides those that end in `_token`.
const USED: &str = "clipwright_clean padding_side truncation_side split_special_tokens added_tokens_decoder \
    extra_special_tokens additional_special_tokens model_specific_special_tokens tokenizer_class";

/// Keys that change no token id: the `tokenizer.json` holds their effect.
const IGNORED: &str = "_commit_hash _from_auto _json_padding _json_truncation _spm_precompiled_charsmap add_bos_token \
    add_eos_token add_prefix_space auto_map backend chat_control_tokens chat_template clean_up_tokenization_spaces \
    clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output device_map do_lower_case errors extra_ids \
    files_loaded fix_mistral_regex from_slow full_tokenizer_file gguf_file init_inputs is_local language legacy \
    local_files_only max_length max_len merges merges_file model_input_names model_max_length name_or_path \
    pad_to_multiple_of pad_token_type_id post_processor processor_class response_schema response_template \
    sp_model_kwargs spaces_between_special_tokens special_tokens_map_file stride tokenizer tokenizer_file \
    tokenizer_object tokenizer_padding tokenizer_truncation transformers_version trim_offsets truncation_strategy unk_id \
    use_default_system_prompt use_fast verbose vocab vocab_file";

/// Checks a config that goes along with an export; returns what a user should know, for a model of this context length.
///
/// # Errors
/// `invalid-tokenizer` for a side that is neither left nor right.
pub(super) fn check_config(config: &Map<String, Value>, context_length: usize) -> Result<Vec<String>> {
    for key in ["padding_side", "truncation_side"] {
        if let Some(side) = config.get(key).filter(|side| !(side.is_null() || *side == "left" || *side == "right")) {
            return Err(invalid_content(FILE, format!("{key}: expected \"left\" or \"right\", got {side}")));
        }
    }
    let mut warnings = Vec::new();
    if config.get("pad_token").is_some_and(Value::is_null) {
        warnings.push(format!("{FILE}: pad_token is null: using that of the tokenizer's class or file"));
    }
    let is_known = |key: &str| {
        key.ends_with("_token") || [USED, IGNORED].iter().any(|keys| keys.split_whitespace().any(|known| known == key))
    };
    let unknown = config.keys().filter(|key| !is_known(key));
    warnings.extend(unknown.map(|key| format!("{FILE}: {key} is not known and was not used")));
    let length = config.get("model_max_length").or_else(|| config.get("max_len")).and_then(Value::as_f64);
    if let Some(length) = length.filter(|&length| length < context_length as f64) {
        let instead = format!("texts are padded and truncated to the model's {context_length} tokens nevertheless");
        warnings.push(format!("{FILE}: model_max_length is {length}: {instead}"));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(config: &Value) -> Result<Vec<String>> {
        check_config(config.as_object().unwrap(), 64)
    }

    #[test]
    fn odd_keys_are_named() {
        assert!(
            check(&json!({"tokenizer_class": "T5Tokenizer", "model_max_length": 64, "eos_token": "</s>"}))
                .unwrap()
                .is_empty()
        );
        let odd = json!({"pad_token": null, "mystery": 1, "model_max_length": 16, "padding_side": null});
        let warnings = check(&odd).unwrap();
        for (warning, expected) in
            warnings.iter().zip(["pad_token is null", "mystery is not known", "model_max_length is 16"])
        {
            assert!(warning.contains(expected), "{warning}");
        }
        assert_eq!(warnings.len(), 3);
        assert_eq!(check(&json!({"padding_side": "middle"})).unwrap_err().code, "invalid-tokenizer");
    }

    #[test]
    fn the_keys_are_those_of_the_package() {
        let package = include_str!("../../../../workers/loading/tokenizer/tokenizer-config.ts");
        let words = |from: &str, to: &str| -> Vec<String> {
            let part = package.split(from).nth(1).unwrap().split(to).next().unwrap();
            part.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let own = |keys: &str| keys.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(own(IGNORED), words("IGNORED_KEYS = new Set(", ".split"));
        assert_eq!(own(USED)[1..], words("USED_KEYS = new Set([", "]")[1..]);
    }
}
