//! Bindings of clip-tokenizers: a separate Wasm module, which is fetched only for checkpoints whose tokenizer is not CLIP's.

use clip_tokenizers::{Error, ForeignTokenizer, OpenClipOptions, TokenizerFiles};
use wasm_bindgen::prelude::*;

fn to_js(error: Error) -> JsValue {
    let value = js_sys::Error::new(&error.to_string());
    value.set_name("ClipError");
    // setting a property of a fresh object cannot fail
    let _ = js_sys::Reflect::set(&value, &"code".into(), &error.code().into());
    value.into()
}

/// A tokenizer that was read from files.
#[wasm_bindgen]
pub struct FileTokenizer(ForeignTokenizer);

#[wasm_bindgen]
impl FileTokenizer {
    /// Reads the texts of `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`. `cleaning` and
    /// `overrides` are the tokenizer's options in an OpenCLIP config.
    #[wasm_bindgen(constructor)]
    pub fn new(
        tokenizer: &str,
        tokenizer_config: Option<String>,
        special_tokens: Option<String>,
        added_tokens: Option<String>,
        cleaning: &str,
        overrides: &str,
    ) -> Result<Self, JsValue> {
        let files = TokenizerFiles {
            tokenizer,
            tokenizer_config: tokenizer_config.as_deref(),
            special_tokens: special_tokens.as_deref(),
            added_tokens: added_tokens.as_deref(),
        };
        let options = OpenClipOptions { cleaning, tokenizer_overrides: overrides };
        ForeignTokenizer::read(&files, &options).map(Self).map_err(to_js)
    }

    /// How texts are to be cleaned, by the name that the core's `cleanText` takes.
    #[wasm_bindgen(getter)]
    pub fn cleaning(&self) -> String {
        self.0.cleaning().into()
    }

    /// The `tokenizer_config.json` of an export.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.0.config_json().into()
    }

    /// Warnings for the user, for a model of this context length.
    pub fn warnings(&self, context_length: usize) -> Vec<String> {
        self.0.warnings(context_length)
    }

    /// Encodes a text and pads it to the context length; `cleaned` is the same text cleaned.
    pub fn tokenize(
        &self,
        text: &str,
        cleaned: &str,
        context_length: usize,
        truncate: bool,
    ) -> Result<Vec<i32>, JsValue> {
        self.0.tokenize(text, cleaned, context_length, truncate).map_err(to_js)
    }
}
