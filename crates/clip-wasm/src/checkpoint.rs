//! Loads a checkpoint: headers and small files first, then the bytes that the model needs, in pieces of any size.

use std::collections::HashMap;

use clip_core::checkpoint::{Header, LoadOptions, Precision, metadata};
use clip_core::digest;
use clip_core::model::Towers;
use clip_core::model_loader::{ModelLoader, SideFiles};
use clip_core::preprocess::TransformFiles;
use clip_core::tokenizer::{Reference, TokenizerFiles};
use wasm_bindgen::prelude::*;

use crate::Device;
use crate::error::{JsResult, js};
use crate::model::ClipModel;

/// Headers of a checkpoint's safetensors files.
#[wasm_bindgen]
#[derive(Default)]
pub struct Headers(Vec<Header>);

#[wasm_bindgen]
impl Headers {
    /// Without files yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of bytes from the start of a file that `add` needs, read from the first eight.
    pub fn length(start: &[u8]) -> JsResult<usize> {
        js(Header::length(start))
    }

    /// Adds the header at the `start` of a file of `file_length` bytes.
    pub fn add(&mut self, start: &[u8], file_length: f64) -> JsResult<()> {
        self.0.push(js(Header::parse(start, file_length as u64))?);
        Ok(())
    }

    /// Whether a file has a config in its metadata: then clipwright wrote it, and it is complete.
    #[wasm_bindgen(getter)]
    pub fn complete(&self) -> bool {
        self.0.iter().any(|header| header.metadata(metadata::CONFIG).is_some())
    }
}

/// The small files of a checkpoint, as text.
#[wasm_bindgen(js_name = SideFiles)]
#[derive(Default)]
pub struct JsSideFiles(HashMap<String, String>);

#[wasm_bindgen(js_class = SideFiles)]
impl JsSideFiles {
    /// Without files yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file under the worker's name for its kind.
    pub fn set(&mut self, name: String, text: String) {
        self.0.insert(name, text);
    }
}

impl JsSideFiles {
    fn files(&self) -> SideFiles<'_> {
        let text = |name: &str| self.0.get(name).map(String::as_str);
        SideFiles {
            config: text("config"),
            transform: TransformFiles { processor: text("processor"), preprocess: text("preprocess") },
            tokenizer: TokenizerFiles {
                tokenizer: text("tokenizer"),
                merges: text("merges"),
                vocab: text("vocab"),
                config: text("tokenizerConfig"),
                special_tokens: text("specialTokens"),
                added_tokens: text("addedTokens"),
            },
            reference: None,
        }
    }
}

/// A checkpoint whose weights are being read.
#[wasm_bindgen(js_name = ModelLoader)]
pub struct JsModelLoader(ModelLoader);

#[wasm_bindgen(js_class = ModelLoader)]
impl JsModelLoader {
    /// Reads the small files and checks the headers against them.
    pub fn open(
        headers: Headers,
        files: &JsSideFiles,
        reference: Option<String>,
        towers: &str,
        dtype: &str,
        max_tensor_bytes: Option<f64>,
        device: &Device,
    ) -> JsResult<Self> {
        let reference = js(reference.as_deref().map(Reference::from_name).transpose())?;
        let options = LoadOptions {
            towers: js(Towers::from_name(towers))?,
            precision: js(Precision::from_name(dtype))?,
            max_tensor_bytes: max_tensor_bytes.map(|bytes| bytes as u64),
        };
        Ok(Self(js(ModelLoader::new(&headers.0, &SideFiles { reference, ..files.files() }, options, &device.0))?))
    }

    /// The bytes to push, in this order: file, first byte and end (exclusive) of each range.
    #[wasm_bindgen(js_name = byteRanges)]
    pub fn byte_ranges(&self) -> Vec<f64> {
        self.0
            .weights
            .byte_ranges()
            .iter()
            .flat_map(|range| [range.file as f64, range.begin as f64, range.end as f64])
            .collect()
    }

    /// Whether the model has the published vocabulary and the checkpoint came without it.
    #[wasm_bindgen(getter, js_name = wantsPublishedMerges)]
    pub fn wants_published_merges(&self) -> bool {
        self.0.wants_published_merges()
    }

    /// Sets the merges that did not come with the checkpoint.
    #[wasm_bindgen(js_name = setMerges)]
    pub fn set_merges(&mut self, merges: &str) -> JsResult<()> {
        js(self.0.set_merges(merges))
    }

    /// Cleaning of texts before a tokenizer that is not CLIP's, by the name that `cleanText` takes.
    #[wasm_bindgen(getter)]
    pub fn cleaning(&self) -> String {
        self.0.cleaning().name().into()
    }

    /// Keys, as JSON, that take precedence over those of such a tokenizer's `tokenizer_config.json`.
    #[wasm_bindgen(getter, js_name = tokenizerOverrides)]
    pub fn tokenizer_overrides(&self) -> String {
        self.0.tokenizer_overrides()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> JsResult<()> {
        js(self.0.weights.push(bytes))
    }

    /// Returns the model.
    pub fn finish(self) -> JsResult<ClipModel> {
        let (bundle, warnings) = js(self.0.finish())?;
        Ok(ClipModel { bundle, warnings })
    }
}

/// SHA-256 of bytes that come in pieces.
#[wasm_bindgen]
#[derive(Default)]
pub struct Sha256(digest::Sha256);

#[wasm_bindgen]
impl Sha256 {
    /// A digest without bytes yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest, in hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish()
    }
}
