//! A model that encodes.

use clip_core::bundle::Bundle;
use clip_core::checkpoint::Adapter;
use clip_core::eval::probabilities;
use clip_core::export::NamedFile;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};
use crate::images::ImageBatch;

/// CLIP with what belongs to it: configuration, tokenizer, preprocessing.
#[wasm_bindgen]
pub struct ClipModel {
    pub(crate) bundle: Bundle,
    pub(crate) warnings: Vec<String>,
}

#[wasm_bindgen]
impl ClipModel {
    /// What is odd about the checkpoint, in words.
    #[wasm_bindgen(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Adds an adapter in PEFT's two files to the weights, or leaves them as they are where it is refused.
    #[wasm_bindgen(js_name = mergeAdapter)]
    pub fn merge_adapter(&mut self, weights: Vec<u8>, config: String) -> JsResult<()> {
        js(self.bundle.merge(&Adapter { weights, config }))
    }

    /// Element type of the weights: `f32` or `f16`.
    #[wasm_bindgen(getter)]
    pub fn dtype(&self) -> String {
        self.bundle.dtype().into()
    }

    /// Transform of its images, as JSON.
    #[wasm_bindgen(getter)]
    pub fn preprocess(&self) -> String {
        self.bundle.preprocess.to_json()
    }

    /// Configuration as JSON.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.bundle.config.to_json()
    }

    /// Tokens of a text, start and end included.
    #[wasm_bindgen(getter, js_name = contextLength)]
    pub fn context_length(&self) -> usize {
        self.bundle.config.text.context_length
    }

    /// Width of an embedding.
    #[wasm_bindgen(getter, js_name = embedDim)]
    pub fn embed_dim(&self) -> usize {
        self.bundle.config.embed_dim
    }

    /// An empty batch of images for this model.
    #[wasm_bindgen(js_name = imageBatch)]
    pub fn image_batch(&self) -> ImageBatch {
        ImageBatch::new(self.bundle.preprocess.clone())
    }

    /// Ids of texts, `[texts, context_length]`.
    pub fn tokenize(&self, texts: Vec<String>, truncate: bool) -> JsResult<Vec<i32>> {
        js(self.bundle.tokenize(texts.iter().map(String::as_str), truncate))
    }

    /// Whether the vocabulary was cut to the captions of a run.
    #[wasm_bindgen(getter, js_name = hasCutVocabulary)]
    pub fn has_cut_vocabulary(&self) -> bool {
        self.bundle.has_cut_vocabulary()
    }

    /// Words of texts that the model never learned of, where its vocabulary was cut to its captions.
    #[wasm_bindgen(js_name = unseenWords)]
    pub fn unseen_words(&self, texts: Vec<String>) -> Vec<String> {
        self.bundle.unseen_words(texts.iter().map(String::as_str))
    }

    /// `[images, 3, size, size]` to `[images, embed_dim]`, rows of length one.
    #[wasm_bindgen(js_name = encodePixels)]
    pub async fn encode_pixels(&self, pixels: Vec<f32>) -> JsResult<Vec<f32>> {
        js(self.bundle.encode_pixels(&pixels).await)
    }

    /// A batch to `[images, embed_dim]`, rows of length one.
    #[wasm_bindgen(js_name = encodeImages)]
    pub async fn encode_images(&self, batch: &ImageBatch) -> JsResult<Vec<f32>> {
        js(self.bundle.encode_squares(batch.squares()).await)
    }

    /// `[texts, context_length]` to `[texts, embed_dim]`, rows of length one.
    #[wasm_bindgen(js_name = encodeIds)]
    pub async fn encode_ids(&self, ids: Vec<i32>) -> JsResult<Vec<f32>> {
        js(self.bundle.encode_ids(&ids).await)
    }

    /// Has a GPU compile what the model needs.
    #[wasm_bindgen(js_name = warmUp)]
    pub async fn warm_up(&self) -> JsResult<()> {
        js(self.bundle.warm_up().await)
    }

    /// `exp(logit_scale) * cosine` of embeddings, `[images, texts]`.
    #[wasm_bindgen(js_name = logitsPerImage)]
    pub async fn logits_per_image(&self, images: Vec<f32>, texts: Vec<f32>) -> JsResult<Vec<f32>> {
        js(self.bundle.logits_per_image(&images, &texts).await)
    }

    /// What logits say, `[images, texts]`: softmax over the texts, or a sigmoid of each.
    pub fn probabilities(&self, logits: Vec<f32>, texts: usize) -> JsResult<Vec<f32>> {
        js(probabilities(&logits, texts, self.bundle.config.objective))
    }

    /// `[labels * per_label, context_length]` to one embedding a label, `[labels, embed_dim]`.
    #[wasm_bindgen(js_name = encodeLabels)]
    pub async fn encode_labels(&self, ids: Vec<i32>, per_label: usize) -> JsResult<Vec<f32>> {
        js(self.bundle.encode_labels(&ids, per_label).await)
    }

    /// Safetensors in the layout `hf` or `open_clip`, with configuration and tokenizer in its metadata.
    pub async fn save(&self, layout: &str) -> JsResult<Vec<u8>> {
        js(self.bundle.save(layout).await)
    }

    /// The folder that `transformers` or `open_clip` loads.
    #[wasm_bindgen(js_name = exportFiles)]
    pub async fn export_files(&self, layout: &str) -> JsResult<Files> {
        js(self.bundle.export_files(layout).await).map(Files)
    }
}

/// Files by name.
#[wasm_bindgen]
pub struct Files(Vec<NamedFile>);

#[wasm_bindgen]
impl Files {
    /// Their names.
    #[wasm_bindgen(getter)]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Contents of the file at `index`, which are given away.
    pub fn take(&mut self, index: usize) -> Vec<u8> {
        self.0.get_mut(index).map(|(_, bytes)| core::mem::take(bytes)).unwrap_or_default()
    }
}
