//! Hugging Face's tokenizers in a separate Wasm module, which is fetched only for checkpoints whose tokenizer is not CLIP's.

use tokenizers::{AddedToken, Tokenizer, TruncationDirection, TruncationParams};
use wasm_bindgen::prelude::*;

fn to_js(error: tokenizers::Error) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}

/// A tokenizer from a `tokenizer.json` with any model, normalizer and pre-tokenizer.
#[wasm_bindgen]
pub struct FileTokenizer(Tokenizer);

#[wasm_bindgen]
impl FileTokenizer {
    /// Reads a `tokenizer.json`, without its padding and truncation: the caller applies the model's context length.
    #[wasm_bindgen(constructor)]
    pub fn new(json: &str) -> Result<Self, JsValue> {
        let mut tokenizer: Tokenizer = json.parse().map_err(to_js)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(to_js)?;
        Ok(Self(tokenizer))
    }

    /// Adds tokens that the file lacks: a JSON array of objects, as in `tokenizer_config.json`.
    #[wasm_bindgen(js_name = addTokens)]
    pub fn add_tokens(&mut self, json: &str) -> Result<(), JsValue> {
        let tokens: Vec<AddedToken> = serde_json::from_str(json).map_err(|e| to_js(e.into()))?;
        for token in tokens {
            // one by one, so that ids follow this order
            if token.special {
                self.0.add_special_tokens([token]).map_err(to_js)?;
            } else {
                self.0.add_tokens([token]).map_err(to_js)?;
            }
        }
        Ok(())
    }

    /// Sets `split_special_tokens`: whether special tokens spelled out in a text are encoded as text.
    #[wasm_bindgen(js_name = splitSpecial)]
    pub fn split_special(&mut self, split: bool) {
        self.0.set_encode_special_tokens(split);
    }

    /// Encodes a text truncated to `length` ids, including special tokens: at its end, or with `left` at its start.
    #[wasm_bindgen(js_name = encodeCut)]
    pub fn encode_cut(&mut self, text: &str, length: usize, left: bool) -> Result<Vec<u32>, JsValue> {
        let direction = if left { TruncationDirection::Left } else { TruncationDirection::Right };
        let cut = TruncationParams { max_length: length, direction, ..TruncationParams::default() };
        self.0.with_truncation(Some(cut)).map_err(to_js)?;
        let ids = self.encode(text);
        self.0.with_truncation(None).map_err(to_js)?;
        ids
    }

    /// Encodes a text with the special tokens that the file puts around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, JsValue> {
        Ok(self.0.encode_fast(text, true).map_err(to_js)?.get_ids().to_vec())
    }

    /// Id of a token, including added ones.
    #[wasm_bindgen(js_name = tokenToId)]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}
