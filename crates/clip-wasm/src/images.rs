//! Images on their way into a tower, and parts of images on their way into a training step.

use clip_core::preprocess::{Augmenter, Preprocess, RgbImage, decode};
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
