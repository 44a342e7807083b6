//! Reads the files beside a `tokenizer.json` as transformers 5 does.

use tokenizers::AddedToken;
use tokenizers::utils::padding::PaddingDirection;
use tokenizers::utils::truncation::TruncationDirection;

use crate::error::{Error, Result};
use crate::json::{Json, Object, parse_object};
use crate::special::{
    DECODER, decoder_tokens, is_named, is_token_key, listed_tokens, named_tokens, read_token, unknown_fields,
};
use crate::tokenizer::{OpenClipOptions, TokenizerFiles};

const FILE: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";

/// Our own key for OpenCLIP's cleaning of texts, in the `tokenizer_config.json` of an export: transformers has none.
const CLEANING_KEY: &str = "clipwright_clean";

/// Names of the cleanings that clip-core has.
const CLEANINGS: [&str; 4] = ["none", "whitespace", "lower", "canonicalize"];

/// Special tokens of transformers' classes, for a `tokenizer_config.json` that names none. The side of padding is not among
/// them: Gemma's class pads on the left, but SigLIP 2, which uses it, was trained with padding on the right, and its files say so.
fn class_tokens(class: &str) -> &'static [(&'static str, &'static str)] {
    match class {
        "GemmaTokenizer" | "GemmaTokenizerFast" | "Siglip2Tokenizer" => &[
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("unk_token", "<unk>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ],
        "T5Tokenizer" | "T5TokenizerFast" => &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
        _ => &[],
    }
}

/// Keys that are used, besides those of tokens.
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

/// Names the file of an error.
fn of_config(error: Error) -> Error {
    match error {
        Error::Invalid(problem) => Error::Invalid(format!("{FILE}: {problem}")),
        other => other,
    }
}

/// An entry of a `special_tokens_map.json`, whose tokens are special, whatever they say.
fn as_special((key, mut value): (String, Json)) -> (String, Json) {
    if let Json::Object(token) = &mut value
        && is_token_key(&key)
    {
        token.insert("special".into(), Json::Bool(true));
    }
    (key, value)
}

fn is_known(key: &str) -> bool {
    is_token_key(key) || [USED, IGNORED].iter().any(|keys| keys.split_whitespace().any(|known| known == key))
}

/// What the files say.
pub(crate) struct Config {
    /// The config as given, which an export has.
    given: Object,
    /// The same with the class's special tokens, without nulls.
    merged: Object,
    /// Tokens to add to those of the `tokenizer.json`, in this order.
    pub(crate) tokens: Vec<AddedToken>,
}

impl Config {
    /// Merges the files; the options replace keys of `tokenizer_config.json`.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(crate) fn read(files: &TokenizerFiles<'_>, options: &OpenClipOptions<'_>) -> Result<Self> {
        let overrides = parse_object(Some(options.tokenizer_overrides), "tokenizer_kwargs")?;
        let mut given = parse_object(files.tokenizer_config, FILE)?;
        given.extend(overrides);
        let class = match given.get("tokenizer_class") {
            None | Some(Json::Null) => "",
            Some(Json::String(class)) => class,
            Some(other) => {
                return Err(Error::Invalid(format!("{FILE}: tokenizer_class: expected a name, got {other}")));
            }
        };
        let of_class = class_tokens(class).iter().map(|&(key, token)| (key.to_owned(), Json::String(token.into())));
        let mut merged: Object = of_class.collect();
        merged.extend(
            given.iter().filter(|(_, value)| **value != Json::Null).map(|(key, value)| (key.clone(), value.clone())),
        );
        // with a map, a token may be of either file
        let has_map = files.special_tokens.is_some() && !merged.contains_key(DECODER);
        let named =
            |merged: &Object| named_tokens(merged).map_err(|error| if has_map { error } else { of_config(error) });
        // a key that is null counts as one that is not there
        let mut tokens = match merged.get(DECODER) {
            Some(decoder) => decoder_tokens(decoder).map_err(of_config)?,
            None => {
                merged.extend(parse_object(files.special_tokens, MAP)?.into_iter().map(as_special));
                listed_tokens(&parse_object(files.added_tokens, "added_tokens.json")?, &named(&merged)?)?
            }
        };
        for token in named(&merged)? {
            match tokens.iter_mut().find(|known| known.content == token.content) {
                Some(known) => known.special = true,
                None => tokens.push(AddedToken { special: true, ..token }),
            }
        }
        Ok(Self { given, merged, tokens })
    }

    /// A value that is there and not null.
    fn value(&self, key: &str) -> Option<&Json> {
        self.merged.get(key).filter(|value| **value != Json::Null)
    }

    /// Returns how texts are cleaned: as `chosen`, or as the config of an export says. An export says so, too.
    ///
    /// # Errors
    /// `invalid-tokenizer` for an unknown name.
    pub(crate) fn cleaning(&mut self, chosen: &str) -> Result<String> {
        let name = match self.given.get(CLEANING_KEY) {
            Some(value) if chosen == "none" && *value != Json::Null => value.as_str().ok_or_else(|| {
                Error::Invalid(format!("{FILE}: {CLEANING_KEY}: expected a name, got {}", value.kind()))
            })?,
            _ => chosen,
        };
        if !CLEANINGS.contains(&name) {
            let got = Json::String(name.into());
            let expected = "none, whitespace, lower or canonicalize";
            return Err(Error::Invalid(format!("invalid option clean: expected {expected}, got {got}")));
        }
        let name = name.to_owned();
        if name != "none" {
            self.given.insert(CLEANING_KEY.into(), Json::String(name.clone()));
        }
        Ok(name)
    }

    /// Whether special tokens spelled out in a text are encoded as text.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(crate) fn splits_special(&self) -> Result<bool> {
        match self.value("split_special_tokens") {
            None => Ok(false),
            Some(Json::Bool(splits)) => Ok(*splits),
            Some(other) => {
                Err(Error::Invalid(format!("{FILE}: split_special_tokens: expected true or false, got {other}")))
            }
        }
    }

    /// The padding token; `None` without one.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(crate) fn pad_token(&self) -> Result<Option<String>> {
        match self.merged.get("pad_token") {
            None => Ok(None),
            // that of the config was left out of the merged
            Some(Json::Null) => Err(Error::Invalid(format!("{MAP}: pad_token is null: name the token to pad with"))),
            Some(token) => read_token(token, "pad_token").map(|token| Some(token.content)),
        }
    }

    fn side(&self, key: &str) -> Result<Option<&str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Json::String(side)) if side == "left" || side == "right" => Ok(Some(side)),
            Some(other) => Err(Error::Invalid(format!("{FILE}: {key}: expected \"left\" or \"right\", got {other}"))),
        }
    }

    /// Whether padding goes before the text; `file` is what the `tokenizer.json` says.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(crate) fn pads_left(&self, file: Option<PaddingDirection>) -> Result<bool> {
        let of_file = || matches!(file, Some(PaddingDirection::Left));
        Ok(self.side("padding_side")?.map_or_else(of_file, |side| side == "left"))
    }

    /// The side where long texts are cut; `file` is what the `tokenizer.json` says.
    ///
    /// # Errors
    /// `invalid-tokenizer`.
    pub(crate) fn truncation(&self, file: Option<TruncationDirection>) -> Result<TruncationDirection> {
        Ok(match self.side("truncation_side")? {
            Some("left") => TruncationDirection::Left,
            Some(_) => TruncationDirection::Right,
            None => file.unwrap_or(TruncationDirection::Right),
        })
    }

    /// Warnings for the user.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.given.get("pad_token") == Some(&Json::Null) {
            warnings.push(format!("{FILE}: pad_token is null: using that of the tokenizer's class or file"));
        }
        let unused = |file: &str, key: &str, why: &str| format!("{file}: {key} {why} and was not used");
        for (key, value) in &self.given {
            if !is_known(key) {
                warnings.push(unused(FILE, key, "is not known"));
            } else if is_token_key(key) && !is_named(key) && matches!(value, Json::Number(_) | Json::Array(_)) {
                warnings.push(unused(FILE, key, "is no token"));
            }
        }
        let length = ["model_max_length", "max_len"].into_iter().find(|key| self.value(key).is_some());
        if let Some(key) = length.filter(|_| self.max_length().is_none()) {
            warnings.push(unused(FILE, key, "is no number"));
        }
        let of_map = self.merged.keys().filter(|key| !self.given.contains_key(*key) && !is_known(key));
        warnings.extend(of_map.map(|key| unused(MAP, key, "is not known")));
        warnings.extend(unknown_fields(&self.merged).iter().map(|field| unused(FILE, field, "is not known")));
        warnings
    }

    /// `model_max_length`, if it is a number.
    pub(crate) fn max_length(&self) -> Option<f64> {
        self.value("model_max_length").or_else(|| self.value("max_len"))?.as_f64()
    }

    /// The tokenizer's class.
    pub(crate) fn class(&self) -> Option<&str> {
        self.value("tokenizer_class")?.as_str()
    }

    /// The `tokenizer_config.json` of an export.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.given).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, special: Option<&str>, added: Option<&str>, overrides: &str) -> Result<Config> {
        let files = TokenizerFiles {
            tokenizer: "",
            tokenizer_config: Some(config),
            special_tokens: special,
            added_tokens: added,
        };
        Config::read(&files, &OpenClipOptions { cleaning: "none", tokenizer_overrides: overrides })
    }

    fn contents(config: &Config) -> Vec<&str> {
        config.tokens.iter().map(|token| token.content.as_str()).collect()
    }

    #[test]
    fn special_tokens_come_from_the_class_the_map_or_the_decoder() {
        let of_class = read(r#"{"tokenizer_class":"T5Tokenizer","unk_token":"?"}"#, None, None, "{}").unwrap();
        assert_eq!(contents(&of_class), ["</s>", "?", "<pad>"]);
        let map = read("{}", Some(r#"{"eos_token":"<e>"}"#), Some(r#"{"<x>":7,"<e>":3}"#), "{}").unwrap();
        assert_eq!(contents(&map), ["<e>", "<x>"]);
        assert!(map.tokens[0].special && !map.tokens[1].special);
        // a decoder is complete
        let decoder = r#"{"added_tokens_decoder":{"2":{"content":"<d>"}},"eos_token":"<d>"}"#;
        let decoder = read(decoder, Some(r#"{"bos_token":"<b>"}"#), Some(r#"{"<x>":7}"#), "{}").unwrap();
        assert_eq!(contents(&decoder), ["<d>"]);
        assert!(decoder.tokens[0].special && decoder.tokens[0].normalized);
    }

    /// As transformers 5.24 takes them, or does not.
    #[test]
    fn values_of_other_types_are_refused_or_named() {
        let refused = |config: &str, expected: &str| {
            let error = read(config, None, None, "{}").and_then(|config| config.splits_special()).unwrap_err();
            assert_eq!(error, Error::Invalid(expected.into()));
        };
        refused(r#"{"eos_token":7}"#, "tokenizer_config.json: eos_token: expected a token, got 7");
        refused(r#"{"tokenizer_class":7}"#, "tokenizer_config.json: tokenizer_class: expected a name, got 7");
        refused(
            r#"{"split_special_tokens":"yes"}"#,
            "tokenizer_config.json: split_special_tokens: expected true or false, got \"yes\"",
        );
        refused(
            r#"{"added_tokens_decoder":7}"#,
            "tokenizer_config.json: added_tokens_decoder: expected an object of tokens by their ids, got 7",
        );
        let null = r#"{"added_tokens_decoder":null,"split_special_tokens":null,"tokenizer_class":null}"#;
        assert!(!read(null, None, None, "{}").unwrap().splits_special().unwrap());
        let json = r#"{"boi_token":7,"add_bos_token":true,"model_max_length":"8","eos_token":{"content":"e","x":1}}"#;
        let expected = [
            "tokenizer_config.json: boi_token is no token and was not used",
            "tokenizer_config.json: model_max_length is no number and was not used",
            "tokenizer_config.json: eos_token: x is not known and was not used",
        ];
        assert_eq!(read(json, None, None, "{}").unwrap().warnings(), expected);
    }

    #[test]
    fn a_map_has_special_tokens_and_may_take_them_away() {
        let map = r#"{"eos_token":null,"unk_token":{"content":"?"},"wobble":1}"#;
        let config = read(r#"{"eos_token":"<e>"}"#, Some(map), None, "{}").unwrap();
        assert_eq!(contents(&config), ["?"]);
        assert!(config.tokens[0].special && !config.tokens[0].normalized);
        assert_eq!(config.warnings(), ["special_tokens_map.json: wobble is not known and was not used"]);
        let none = read("{}", Some(r#"{"pad_token":null}"#), None, "{}").unwrap().pad_token().unwrap_err();
        let expected = "special_tokens_map.json: pad_token is null: name the token to pad with";
        assert_eq!(none, Error::Invalid(expected.into()));
    }

    #[test]
    fn overrides_replace_keys_and_are_exported() {
        let config = read(r#"{"padding_side":"left","a":1}"#, None, None, r#"{"padding_side":"right","b":2}"#).unwrap();
        assert!(!config.pads_left(Some(PaddingDirection::Left)).unwrap());
        assert_eq!(config.to_json(), "{\n  \"padding_side\": \"right\",\n  \"a\": 1,\n  \"b\": 2\n}");
    }

    #[test]
    fn sides_are_those_of_the_config_then_of_the_file() {
        let none = read(r#"{"padding_side":null}"#, None, None, "{}").unwrap();
        assert!(none.pads_left(Some(PaddingDirection::Left)).unwrap() && !none.pads_left(None).unwrap());
        assert!(matches!(none.truncation(None).unwrap(), TruncationDirection::Right));
        let left = read(r#"{"truncation_side":"left"}"#, None, None, "{}").unwrap();
        assert!(matches!(left.truncation(None).unwrap(), TruncationDirection::Left));
        let odd = read(r#"{"padding_side":7}"#, None, None, "{}").unwrap();
        let expected = "tokenizer_config.json: padding_side: expected \"left\" or \"right\", got 7";
        assert_eq!(odd.pads_left(None).unwrap_err(), Error::Invalid(expected.into()));
    }

    #[test]
    fn odd_keys_are_named_in_their_order() {
        let json = r#"{"wobble":1,"pad_token":null,"eos_token":"</s>","jiggle":2,"tokenizer_class":"T5Tokenizer"}"#;
        let warnings = read(json, None, None, "{}").unwrap().warnings();
        let expected = ["pad_token is null", "wobble is not known", "jiggle is not known"];
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        assert!(warnings.iter().zip(expected).all(|(warning, part)| warning.contains(part)), "{warnings:?}");
        assert_eq!(read(r#"{"max_len":1e30}"#, None, None, "{}").unwrap().max_length(), Some(1e30));
    }

    #[test]
    fn a_cleaning_is_chosen_or_that_of_an_export() {
        let cleaning = |config: &str, chosen: &str| {
            let mut config = read(config, None, None, "{}")?;
            let name = config.cleaning(chosen)?;
            Ok::<_, Error>((name, config.to_json().contains(CLEANING_KEY)))
        };
        assert_eq!(cleaning("{}", "none").unwrap(), ("none".into(), false));
        assert_eq!(cleaning("{}", "lower").unwrap(), ("lower".into(), true));
        let of_export = r#"{"clipwright_clean":"canonicalize"}"#;
        assert_eq!(cleaning(of_export, "none").unwrap(), ("canonicalize".into(), true));
        assert_eq!(cleaning(of_export, "lower").unwrap(), ("lower".into(), true));
        for (config, expected) in [
            (r#"{"clipwright_clean":7}"#, "clipwright_clean: expected a name, got number"),
            (r#"{"clipwright_clean":"upper"}"#, "lower or canonicalize, got \"upper\""),
        ] {
            let error = cleaning(config, "none").unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
        }
    }
}
