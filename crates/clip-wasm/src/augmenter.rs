//! Augmented images of training steps.

use clip_core::preprocess::{Augmenter, RgbImage, decode};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// Augments the images of a run to 8-bit squares.
#[wasm_bindgen(js_name = Augmenter)]
pub struct JsAugmenter(Augmenter);

#[wasm_bindgen(js_class = Augmenter)]
impl JsAugmenter {
    /// Reads the JSON that `Pairs` gives.
    #[wasm_bindgen(constructor)]
    pub fn new(json: &str) -> JsResult<Self> {
        js(Augmenter::from_json(json)).map(Self)
    }

    /// Augments a pair's image file; returns `[3, size, size]`.
    #[wasm_bindgen(js_name = ofEncoded)]
    pub fn of_encoded(&self, bytes: &[u8], epoch: usize, pair: usize) -> JsResult<Vec<u8>> {
        Ok(self.0.square(&js(decode(bytes))?, epoch, pair))
    }

    /// Augments a pair's raw pixels; returns `[3, size, size]`.
    #[wasm_bindgen(js_name = ofRaw)]
    pub fn of_raw(&self, width: usize, height: usize, data: Vec<u8>, epoch: usize, pair: usize) -> JsResult<Vec<u8>> {
        Ok(self.0.square(&js(RgbImage::from_raw(width, height, data))?, epoch, pair))
    }
}
