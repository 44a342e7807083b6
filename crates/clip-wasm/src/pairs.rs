//! Image–text pairs for training or evaluation.

use std::sync::Arc;

use clip_core::data::PairDataset;
use clip_core::preprocess::{Augmenter, RgbImage, decode};
use clip_core::tokenizer::Tokenizer;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// Pairs in memory.
#[wasm_bindgen]
pub struct Pairs {
    pub(crate) dataset: PairDataset,
    tokenizer: Arc<Tokenizer>,
}

impl Pairs {
    pub(crate) fn new(dataset: PairDataset, tokenizer: &Arc<Tokenizer>) -> Self {
        Self { dataset, tokenizer: tokenizer.clone() }
    }
}

#[wasm_bindgen]
impl Pairs {
    /// Adds an encoded image (PNG, JPEG, WebP, GIF, BMP) and its captions.
    #[wasm_bindgen(js_name = pushEncoded)]
    pub fn push_encoded(&mut self, bytes: &[u8], captions: Vec<String>, truncate: bool) -> JsResult<()> {
        js(decode(bytes).and_then(|image| self.dataset.push(&image, &captions, &self.tokenizer, truncate)))
    }

    /// Adds raw pixels, `[height, width, channels]` with 3 or 4 channels, and their captions.
    #[wasm_bindgen(js_name = pushRaw)]
    pub fn push_raw(
        &mut self,
        width: usize,
        height: usize,
        data: Vec<u8>,
        captions: Vec<String>,
        truncate: bool,
    ) -> JsResult<()> {
        let image = js(RgbImage::from_raw(width, height, data))?;
        js(self.dataset.push(&image, &captions, &self.tokenizer, truncate))
    }

    /// JSON for the constructor of `Augmenter`, where images are re-cropped in each epoch and not held here.
    #[wasm_bindgen(getter)]
    pub fn augmenter(&self) -> Option<String> {
        self.dataset.augmenter().map(Augmenter::to_json)
    }

    /// Number of pairs.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.dataset.len()
    }
}
