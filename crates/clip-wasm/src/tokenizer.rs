//! The tokenizer.

use clip_core::tokenizer::{Reference, Tokenizer};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// CLIP's byte-pair tokenizer.
#[wasm_bindgen(js_name = Tokenizer)]
pub struct JsTokenizer(pub(crate) Tokenizer);

#[wasm_bindgen(js_class = Tokenizer)]
impl JsTokenizer {
    /// From merges, one a line; `reference` is `open_clip`, `openai` or `hf`.
    #[wasm_bindgen(constructor)]
    pub fn new(merges: &str, reference: &str) -> JsResult<Self> {
        Ok(Self(js(Reference::from_name(reference).and_then(|r| Tokenizer::from_merges(merges, r)))?))
    }

    /// Ids of texts, `[texts, context_length]`.
    pub fn tokenize(&self, texts: Vec<String>, context_length: usize, truncate: bool) -> JsResult<Vec<i32>> {
        js(self.0.tokenize(texts.iter().map(String::as_str), context_length, truncate))
    }

    /// Size of the vocabulary.
    #[wasm_bindgen(getter, js_name = vocabSize)]
    pub fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }
}
