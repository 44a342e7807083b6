//! Parts of images on their way into a training step.

use clip_core::preprocess::{Augmenter, RgbImage, decode};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// Makes the images of a run's steps, 8-bit squares.
#[wasm_bindgen(js_name = Augmenter)]
pub struct JsAugmenter(Augmenter);

#[wasm_bindgen(js_class = Augmenter)]
impl JsAugmenter {
    /// From what `Pairs` says of it.
    #[wasm_bindgen(constructor)]
    pub fn new(json: &str) -> JsResult<Self> {
        js(Augmenter::from_json(json)).map(Self)
    }

    /// `[3, size, size]` of a pair's encoded image.
    #[wasm_bindgen(js_name = ofEncoded)]
    pub fn of_encoded(&self, bytes: &[u8], epoch: usize, pair: usize) -> JsResult<Vec<u8>> {
        Ok(self.0.square(&js(decode(bytes))?, epoch, pair))
    }

    /// `[3, size, size]` of a pair's raw pixels.
    #[wasm_bindgen(js_name = ofRaw)]
    pub fn of_raw(&self, width: usize, height: usize, data: Vec<u8>, epoch: usize, pair: usize) -> JsResult<Vec<u8>> {
        Ok(self.0.square(&js(RgbImage::from_raw(width, height, data))?, epoch, pair))
    }
}
