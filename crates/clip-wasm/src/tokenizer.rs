//! The tokenizer.

use clip_core::tokenizer::{Reference, Tokenizer};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// CLIP's byte-pair tokenizer.
#[wasm_bindgen(js_name = Tokenizer)]
pub struct JsTokenizer(pub(crate) Tokenizer);

#[wasm_bindgen(js_class = Tokenizer)]
impl JsTokenizer {
    /// Reads merges, one per line; `reference` is `open_clip`, `openai` or `hf`.
    #[wasm_bindgen(constructor)]
    pub fn new(merges: &str, reference: &str) -> JsResult<Self> {
        Ok(Self(js(Reference::from_name(reference).and_then(|r| Tokenizer::from_merges(merges, r)))?))
    }
}
