//! Images on their way into a tower.

use clip_core::preprocess::{Preprocess, RgbImage, decode};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// Images of one call, preprocessed as they arrive.
#[wasm_bindgen]
pub struct ImageBatch {
    preprocess: Preprocess,
    squares: Vec<u8>,
}

impl ImageBatch {
    pub(crate) fn new(preprocess: Preprocess) -> Self {
        Self { preprocess, squares: Vec::new() }
    }

    pub(crate) fn squares(&self) -> &[u8] {
        &self.squares
    }

    fn push(&mut self, image: &RgbImage) -> JsResult<()> {
        js(Preprocess::check(image))?;
        self.squares.extend(self.preprocess.square(image));
        Ok(())
    }
}

#[wasm_bindgen]
impl ImageBatch {
    /// Adds an encoded image (PNG, JPEG, WebP, GIF, BMP).
    #[wasm_bindgen(js_name = pushEncoded)]
    pub fn push_encoded(&mut self, bytes: &[u8]) -> JsResult<()> {
        self.push(&js(decode(bytes))?)
    }

    /// Adds raw pixels, `[height, width, channels]` with 3 or 4 channels.
    #[wasm_bindgen(js_name = pushRaw)]
    pub fn push_raw(&mut self, width: usize, height: usize, data: Vec<u8>) -> JsResult<()> {
        self.push(&js(RgbImage::from_raw(width, height, data))?)
    }

    /// Normalised pixels, `[images, 3, size, size]`.
    pub fn pixels(&self) -> Vec<f32> {
        self.preprocess.normalize(&self.squares)
    }
}
