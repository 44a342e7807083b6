//! A tokenizer that is not CLIP's byte-pair encoding (SentencePiece, Gemma): its files, which an export carries on. It is not built: parts
//! that contradict each other show where it is used.

use clip_core::export::NamedFile;
use clip_core::model_loader::ModelLoader;
use serde_json::{Map, Value};

use super::side_files::SideFiles;
use super::text::{invalid_content, parse_json};
use super::tokenizer_config::check_config;
use crate::exit::Result;

/// Key of OpenCLIP's text cleaning in an exported `tokenizer_config.json`. It is clipwright's own: transformers has no such key.
const CLEANING_KEY: &str = "clipwright_clean";

/// The files of a tokenizer that the core does not read.
#[derive(Debug, Clone)]
pub struct ForeignTokenizer {
    /// Its files, as an export has them.
    pub files: Vec<NamedFile>,
    /// Its class or the type of its model.
    pub kind: String,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

fn object(json: Option<&str>, file: &str) -> Result<Map<String, Value>> {
    match json.map(|json| parse_json(file, json)).transpose()? {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(invalid_content(file, "expected an object")),
    }
}

impl ForeignTokenizer {
    pub(super) fn new(files: SideFiles, loader: &ModelLoader) -> Result<Self> {
        let mut config = object(files.tokenizer_config.as_deref(), "tokenizer_config.json")?;
        config.extend(object(Some(&loader.tokenizer_overrides()), "tokenizer_kwargs")?);
        let warnings = check_config(&config, loader.config().text.context_length)?;
        let cleaning = loader.cleaning().name();
        if cleaning != "none" {
            config.insert(CLEANING_KEY.into(), cleaning.into());
        }
        let tokenizer = files.tokenizer.unwrap_or_default();
        let model = parse_json("tokenizer.json", &tokenizer)?["model"]["type"].as_str().map(str::to_owned);
        let class = config.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned);
        let kind = class.or(model).unwrap_or_else(|| "unknown".into());
        let config = format!("{:#}\n", Value::from(config));
        let texts = [
            ("tokenizer.json", Some(tokenizer)),
            ("tokenizer_config.json", Some(config)),
            ("special_tokens_map.json", files.special_tokens),
            ("added_tokens.json", files.added_tokens),
        ];
        let files = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into_bytes()))).collect();
        Ok(Self { files, kind, warnings })
    }
}
