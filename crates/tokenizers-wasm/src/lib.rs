//! Hugging Face's tokenizers as a Wasm module of its own, fetched only by checkpoints whose tokenizer is not CLIP's.

use tokenizers::{AddedToken, Tokenizer, TruncationDirection, TruncationParams};
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

    /// Adds tokens that the file lacks, as `tokenizer_config.json` spells them: a JSON array of objects.
    #[wasm_bindgen(js_name = addTokens)]
    pub fn add_tokens(&mut self, json: &str) -> Result<(), JsValue> {
        let tokens: Vec<AddedToken> = serde_json::from_str(json).map_err(|e| to_js(e.into()))?;
        for token in tokens {
            // one by one, so that each gets the next id
            if token.special {
                self.0.add_special_tokens([token]).map_err(to_js)?;
            } else {
                self.0.add_tokens([token]).map_err(to_js)?;
            }
        }
        Ok(())
    }

    /// Whether special tokens spelled out in a text are text: `split_special_tokens`.
    #[wasm_bindgen(js_name = splitSpecial)]
    pub fn split_special(&mut self, split: bool) {
        self.0.set_encode_special_tokens(split);
    }

    /// Ids of a text that loses its end, or with `left` its beginning, so that `length` are left with the special tokens.
    #[wasm_bindgen(js_name = encodeCut)]
    pub fn encode_cut(&mut self, text: &str, length: usize, left: bool) -> Result<Vec<u32>, JsValue> {
        let direction = if left { TruncationDirection::Left } else { TruncationDirection::Right };
        let cut = TruncationParams { max_length: length, direction, ..TruncationParams::default() };
        self.0.with_truncation(Some(cut)).map_err(to_js)?;
        let ids = self.encode(text);
        self.0.with_truncation(None).map_err(to_js)?;
        ids
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
