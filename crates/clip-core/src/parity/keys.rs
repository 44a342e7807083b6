//! Every key that the reference implementations read from a checkpoint's small files is known here: it is read, refused, or has no
//! effect. Keys of newer versions fail this test.

use serde_json::json;

use super::{Value, fixture};
use crate::config::{ClipConfig, unknown_keys};
use crate::preprocess::{Preprocess, TransformFiles};
use crate::tokenizer::{OpenClipTokenizer, Reference, Tokenizer, TokenizerFiles};

const MODEL: &str = r#"{"embedDim": 8, "vision": {"imageSize": 32, "patchSize": 8, "width": 8, "layers": 1, "heads": 1},
    "text": {"contextLength": 6, "vocabSize": 20, "width": 8, "layers": 1, "heads": 2}}"#;

/// Returns the warnings of unknown keys for a file of a kind with one key, which is null.
fn unknown_key_warnings(kind: &str, key: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let object = json!({ key: null });
    let model = ClipConfig::from_json(MODEL).unwrap();
    let mut transform = |files: TransformFiles<'_>| {
        let _refused_or_not = Preprocess::for_model(files, MODEL, &model, &mut warnings);
    };
    match kind {
        "tokenizer_config.json" => {
            let (merges, config) = ("c a\n", object.to_string());
            let files = TokenizerFiles { merges: Some(merges), config: Some(&config), ..TokenizerFiles::default() };
            Tokenizer::from_files(&files, Reference::Hf, &mut warnings).unwrap();
        }
        "preprocessor_config.json" => {
            let nested = json!({ "image_processor": object }).to_string();
            transform(TransformFiles { processor: Some(&nested), preprocess: None });
        }
        "processor_config.json" => {
            let file = object.to_string();
            transform(TransformFiles { processor: Some(&file), preprocess: None });
        }
        "open_clip.preprocess_cfg" => {
            let file = json!({ "preprocess_cfg": object }).to_string();
            transform(TransformFiles { processor: None, preprocess: Some(&file) });
        }
        "open_clip.tokenizer_kwargs" => {
            let config = json!({ "model_cfg": { "text_cfg": { "tokenizer_kwargs": object } } });
            let _refused_or_not = OpenClipTokenizer::read(&config, &mut warnings);
        }
        "clip" | "siglip" => warnings = unknown_keys(&json!({ "model_type": kind, key: null })),
        _ => {
            let (family, part) = kind.split_once('.').unwrap();
            warnings = unknown_keys(&match (family, part) {
                ("open_clip", "model_cfg") => json!({ "model_cfg": object }),
                ("open_clip", part) => json!({ "model_cfg": { part: object } }),
                (family, part) => json!({ "model_type": family, part: object }),
            });
        }
    }
    // null gives other warnings, too
    warnings.retain(|warning| warning.contains("is not known"));
    warnings
}

#[test]
fn every_key_of_the_references_is_known() {
    let golden: Value = serde_json::from_slice(&fixture("config/keys.json")).unwrap();
    let (mut checked, mut unknown) = (0, Vec::new());
    for (kind, keys) in golden["keys"].as_object().unwrap() {
        for key in keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap()) {
            checked += 1;
            unknown.extend(unknown_key_warnings(kind, key).into_iter().map(|warning| format!("{kind}: {warning}")));
        }
        assert!(!unknown_key_warnings(kind, "wobble").is_empty(), "{kind}: an unknown key must give a warning");
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(checked > 350, "{checked}");
}
