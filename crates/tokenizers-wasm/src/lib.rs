//! Hugging Face's tokenizers as a Wasm module of its own, fetched only by checkpoints whose tokenizer is not CLIP's.

use tokenizers::Tokenizer;
use wasm_bindgen::prelude::*;

fn to_js(error: tokenizers::Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

/// A `tokenizer.json`, whatever its model, normalizer and pre-tokenizer are.
#[wasm_bindgen]
pub struct FileTokenizer(Tokenizer);

#[wasm_bindgen]
impl FileTokenizer {
    /// Reads a `tokenizer.json`. Its own padding and truncation are left out: the caller has the model's length.
    #[wasm_bindgen(constructor)]
    pub fn new(json: &str) -> Result<Self, JsValue> {
        let mut tokenizer: Tokenizer = json.parse().map_err(to_js)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(to_js)?;
        Ok(Self(tokenizer))
    }

    /// Ids of a text with the special tokens that the file puts around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        Ok(self.0.encode_fast(text, true).map_err(to_js)?.get_ids().to_vec())
    }

    /// Id of a token, added ones included.
    #[wasm_bindgen(js_name = tokenToId)]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}
