//! A model that encodes.

use clip_core::bundle::Bundle;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};
use crate::images::ImageBatch;
use crate::{Device, tokenizer::JsTokenizer};

/// CLIP with what belongs to it: configuration, tokenizer, preprocessing.
#[wasm_bindgen]
pub struct ClipModel(pub(crate) Bundle);

#[wasm_bindgen]
impl ClipModel {
    /// From safetensors. `config` (ours or Hugging Face's, as JSON) and `tokenizer` may be left out where the file
    /// carries its own.
    pub fn load(
        weights: &[u8],
        config: Option<String>,
        tokenizer: Option<JsTokenizer>,
        device: &Device,
    ) -> JsResult<Self> {
        let bundle = js(Bundle::load(weights, config.as_deref(), tokenizer.map(|t| t.0), &device.0))?;
        Ok(Self(bundle))
    }

    /// Configuration as JSON.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.0.config.to_json()
    }

    /// Width of an embedding.
    #[wasm_bindgen(getter, js_name = embedDim)]
    pub fn embed_dim(&self) -> usize {
        self.0.config.embed_dim
    }

    /// An empty batch of images for this model.
    #[wasm_bindgen(js_name = imageBatch)]
    pub fn image_batch(&self) -> ImageBatch {
        ImageBatch::new(self.0.preprocess())
    }

    /// Ids of texts, `[texts, context_length]`.
    pub fn tokenize(&self, texts: Vec<String>, truncate: bool) -> JsResult<Vec<i32>> {
        js(self.0.tokenize(texts.iter().map(String::as_str), truncate))
    }

    /// `[images, 3, size, size]` to `[images, embed_dim]`, rows of length one.
    #[wasm_bindgen(js_name = encodePixels)]
    pub async fn encode_pixels(&self, pixels: Vec<f32>) -> JsResult<Vec<f32>> {
        js(self.0.encode_pixels(&pixels).await)
    }

    /// `[texts, context_length]` to `[texts, embed_dim]`, rows of length one.
    #[wasm_bindgen(js_name = encodeIds)]
    pub async fn encode_ids(&self, ids: Vec<i32>) -> JsResult<Vec<f32>> {
        js(self.0.encode_ids(&ids).await)
    }

    /// `exp(logit_scale) * cosine` of embeddings, `[images, texts]`.
    #[wasm_bindgen(js_name = logitsPerImage)]
    pub async fn logits_per_image(&self, images: Vec<f32>, texts: Vec<f32>) -> JsResult<Vec<f32>> {
        js(self.0.logits_per_image(&images, &texts).await)
    }

    /// Safetensors in the layout `hf` or `open_clip`, with configuration and tokenizer in its metadata.
    pub async fn save(&self, layout: &str) -> JsResult<Vec<u8>> {
        js(self.0.save(layout).await)
    }
}
