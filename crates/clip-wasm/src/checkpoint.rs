//! A checkpoint on its way in: headers first, then the bytes that the model needs, in any pieces.

use clip_core::bundle::{Files, Opening};
use clip_core::checkpoint::{Header, LoadOptions, Precision, metadata};
use clip_core::digest;
use clip_core::model::Towers;
use clip_core::tokenizer::{Reference, Tokenizer};
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
    /// None yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes from the start of a file that `add` needs, told by the first eight.
    pub fn length(start: &[u8]) -> JsResult<usize> {
        js(Header::length(start))
    }

    /// Adds the header at the `start` of a file of `file_length` bytes.
    pub fn add(&mut self, start: &[u8], file_length: f64) -> JsResult<()> {
        self.0.push(js(Header::parse(start, file_length as u64))?);
        Ok(())
    }

    /// Whether a file carries its own config: clipwright wrote it, and it carries everything.
    #[wasm_bindgen(getter)]
    pub fn complete(&self) -> bool {
        self.0.iter().any(|header| header.metadata(metadata::CONFIG).is_some())
    }
}

/// A checkpoint whose weights are being pushed.
#[wasm_bindgen(js_name = Opening)]
pub struct JsOpening(Opening);

#[wasm_bindgen(js_class = Opening)]
impl JsOpening {
    /// Checks everything but the weights. Texts by position: the worker is the only caller.
    #[expect(clippy::too_many_arguments, reason = "plain strings cross the border without a copy of an object")]
    pub fn open(
        headers: Headers,
        config: Option<String>,
        preprocess: Option<String>,
        merges: Option<String>,
        tokenizer: Option<String>,
        tokenizer_config: Option<String>,
        reference: Option<String>,
        towers: &str,
        dtype: &str,
        most_tensor_bytes: Option<f64>,
        device: &Device,
    ) -> JsResult<Self> {
        let files = Files {
            config: config.as_deref(),
            preprocess: preprocess.as_deref(),
            merges: merges.as_deref(),
            tokenizer: tokenizer.as_deref(),
            tokenizer_config: tokenizer_config.as_deref(),
            reference: js(reference.as_deref().map(Reference::from_name).transpose())?,
        };
        let options = LoadOptions {
            towers: js(Towers::from_name(towers))?,
            precision: js(Precision::from_name(dtype))?,
            most_tensor_bytes: most_tensor_bytes.map(|bytes| bytes as u64),
        };
        Ok(Self(js(Opening::new(&headers.0, &files, options, &device.0))?))
    }

    /// What must be pushed, in this order: file, first byte and the one after the last, for each.
    pub fn parts(&self) -> Vec<f64> {
        self.0.loading.parts().iter().flat_map(|part| [part.file as f64, part.begin as f64, part.end as f64]).collect()
    }

    /// Whose tokenization is missing, where the published vocabulary is.
    #[wasm_bindgen(js_name = wantsPublishedMerges)]
    pub fn wants_published_merges(&self) -> Option<String> {
        self.0.wants_published_merges().map(|reference| reference.name().into())
    }

    /// Gives the tokenizer that did not come with the checkpoint.
    #[wasm_bindgen(js_name = setMerges)]
    pub fn set_merges(&mut self, merges: &str, reference: &str) -> JsResult<()> {
        let tokenizer = Reference::from_name(reference).and_then(|r| Tokenizer::from_merges(merges, r));
        js(tokenizer.and_then(|tokenizer| self.0.set_tokenizer(tokenizer)))
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> JsResult<()> {
        js(self.0.loading.push(bytes))
    }

    /// The model.
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
    /// Of nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum, in hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish()
    }
}
