//! A model being trained.

use clip_core::checkpoint;
use clip_core::eval::{Evaluation, Recall};
use clip_core::train::{ImageRequest, Progress, RunOptions, TrainingSession};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};
use crate::model::ClipModel;
use crate::pairs::Pairs;
use crate::{Device, tokenizer::JsTokenizer};

/// A model being trained, with its tokenizer, its optimiser and at most one run over a data set.
#[wasm_bindgen(js_name = TrainingSession)]
pub struct JsTrainingSession(TrainingSession);

/// Images that a step needs and its data set does not hold.
#[wasm_bindgen(js_name = ImageRequest)]
pub struct JsImageRequest(ImageRequest);

#[wasm_bindgen(js_class = ImageRequest)]
impl JsImageRequest {
    /// The step, counted from 0.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> usize {
        self.0.step
    }

    /// Its epoch, counted from 0.
    #[wasm_bindgen(getter)]
    pub fn epoch(&self) -> usize {
        self.0.epoch
    }

    /// Indices of the pairs.
    #[wasm_bindgen(getter)]
    pub fn pairs(&self) -> Vec<u32> {
        self.0.pairs.iter().map(|&pair| pair as u32).collect()
    }
}

/// Result of a step.
#[wasm_bindgen]
pub struct StepProgress(Progress);

#[wasm_bindgen]
impl StepProgress {
    /// Steps of the run taken.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> usize {
        self.0.step
    }

    /// Steps of the run in total.
    #[wasm_bindgen(getter, js_name = totalSteps)]
    pub fn total_steps(&self) -> usize {
        self.0.total_steps
    }

    /// Epoch, counted from 1.
    #[wasm_bindgen(getter)]
    pub fn epoch(&self) -> usize {
        self.0.epoch
    }

    /// Pairs in the step.
    #[wasm_bindgen(getter, js_name = batchSize)]
    pub fn batch_size(&self) -> usize {
        self.0.batch_size
    }

    /// Loss before the update.
    #[wasm_bindgen(getter)]
    pub fn loss(&self) -> f32 {
        self.0.loss
    }

    /// Learning rate.
    #[wasm_bindgen(getter)]
    pub fn lr(&self) -> f64 {
        self.0.lr
    }

    /// Norm of all gradients as one vector, before clipping.
    #[wasm_bindgen(getter, js_name = gradientNorm)]
    pub fn gradient_norm(&self) -> f32 {
        self.0.gradient_norm
    }

    /// Mean cosine of two different images, and of two different captions, of the batch.
    #[wasm_bindgen(getter)]
    pub fn likeness(&self) -> Vec<f32> {
        self.0.likeness.to_vec()
    }

    /// `logit_scale` before the update.
    #[wasm_bindgen(getter, js_name = logitScale)]
    pub fn logit_scale(&self) -> f32 {
        self.0.logit_scale
    }
}

/// Recall at 1, 5 and 10, median rank and number of queries, image→text and then text→image; then the number of images and of
/// captions that have an equal one.
fn flat(Evaluation { image_to_text, text_to_image, grouped }: Evaluation) -> Vec<f64> {
    let of = |r: Recall| [r.at_1, r.at_5, r.at_10, r.median_rank, r.queries as f64];
    let grouped = [grouped.images as f64, grouped.captions as f64];
    [&of(image_to_text)[..], &of(text_to_image), &grouped].concat()
}

#[wasm_bindgen(js_class = TrainingSession)]
impl JsTrainingSession {
    /// Starts with fresh weights. Without `text.vocabSize` in `config`, the vocabulary is cut to the first run's captions.
    pub fn create(config: &str, tokenizer: JsTokenizer, seed: u32, device: &Device) -> JsResult<Self> {
        js(TrainingSession::create(config, tokenizer.0, seed.into(), &device.0)).map(Self)
    }

    /// Starts with a model's weights; consumes the model.
    pub fn from(model: ClipModel) -> JsResult<Self> {
        js(TrainingSession::from_bundle(model.bundle)).map(Self)
    }

    /// Warnings about the configuration.
    #[wasm_bindgen(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    /// The current model, for encoding and export.
    pub fn model(&self) -> JsResult<ClipModel> {
        js(self.0.bundle()).map(|bundle| ClipModel { bundle, warnings: Vec::new() })
    }

    /// An empty data set to evaluate the model on.
    pub fn pairs(&self) -> JsResult<Pairs> {
        Ok(Pairs::new(self.0.new_dataset(), js(self.0.tokenizer())?))
    }

    /// An empty data set for a run with these options, which are JSON.
    #[wasm_bindgen(js_name = runPairs)]
    pub fn run_pairs(&self, options: &str) -> JsResult<Pairs> {
        let dataset = js(RunOptions::from_json(options).and_then(|options| self.0.run_dataset(&options)))?;
        Ok(Pairs::new(dataset, js(self.0.tokenizer())?))
    }

    /// An empty data set for the run that was stopped.
    #[wasm_bindgen(js_name = interruptedPairs)]
    pub fn interrupted_pairs(&self) -> JsResult<Pairs> {
        Ok(Pairs::new(js(self.0.interrupted_dataset())?, js(self.0.tokenizer())?))
    }

    /// The images that the step `ahead` of the next one needs; undefined after the last step, and where the data set holds them.
    #[wasm_bindgen(js_name = imageRequest)]
    pub fn image_request(&self, ahead: usize) -> Option<JsImageRequest> {
        self.0.image_request(ahead).map(JsImageRequest)
    }

    /// Starts a run with these options, which are JSON; consumes the pairs. Returns its number of steps.
    pub fn start(&mut self, pairs: Pairs, options: &str) -> JsResult<usize> {
        js(RunOptions::from_json(options).and_then(|options| self.0.start(pairs.dataset, &options)))
    }

    /// Everything that training continues from, as one file.
    #[wasm_bindgen(js_name = saveState)]
    pub async fn save_state(&self) -> JsResult<Vec<u8>> {
        js(self.0.save_state().await)
    }

    /// The adapters, in PEFT's format.
    #[wasm_bindgen(js_name = saveAdapter)]
    pub async fn save_adapter(&self) -> JsResult<Adapter> {
        js(self.0.save_adapter().await).map(Adapter)
    }

    /// Reads a file that `saveState` wrote.
    #[wasm_bindgen(js_name = fromState)]
    pub fn from_state(bytes: &[u8], max_tensor_bytes: Option<f64>, device: &Device) -> JsResult<Self> {
        js(TrainingSession::from_state(bytes, max_tensor_bytes.map(|bytes| bytes as u64), &device.0)).map(Self)
    }

    /// Continues the run that was stopped, over the same pairs; consumes them. Returns its number of steps.
    pub fn resume(&mut self, pairs: Pairs) -> JsResult<usize> {
        js(self.0.resume_run(pairs.dataset))
    }

    /// Takes the next step, with the images of its `imageRequest`; undefined after the last.
    pub async fn step(&mut self, squares: Option<Vec<u8>>) -> JsResult<Option<StepProgress>> {
        Ok(js(self.0.step(squares.as_deref()).await)?.map(StepProgress))
    }

    /// Ends the run and keeps the weights.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Retrieval among the pairs: see `flat` for the figures.
    pub async fn evaluate(&self, pairs: &Pairs) -> JsResult<Vec<f64>> {
        js(self.0.evaluate(&pairs.dataset, None).await).map(flat)
    }

    /// Retrieval among the pairs and distractors.
    #[wasm_bindgen(js_name = evaluateAmong)]
    pub async fn evaluate_among(&self, pairs: &Pairs, distractors: &Pairs) -> JsResult<Vec<f64>> {
        js(self.0.evaluate(&pairs.dataset, Some(&distractors.dataset)).await).map(flat)
    }

    /// Embeddings of the pairs' images, `[pairs, embed_dim]`.
    #[wasm_bindgen(js_name = embedImages)]
    pub async fn embed_images(&self, pairs: &Pairs) -> JsResult<Vec<f32>> {
        js(self.0.embed_images(&pairs.dataset).await)
    }

    /// The loss of a batch and the gradient of every parameter, as safetensors in `layout`.
    pub async fn gradients(&self, pixels: Vec<f32>, ids: Vec<i32>, layout: &str) -> JsResult<Gradients> {
        let (loss, safetensors) = js(self.0.gradients(&pixels, &ids, layout).await)?;
        Ok(Gradients { loss, safetensors })
    }

    /// Takes one AdamW step on a batch of pixels and token ids, outside any run; returns the loss before it.
    #[wasm_bindgen(js_name = stepOn)]
    pub async fn step_on(&mut self, pixels: Vec<f32>, ids: Vec<i32>, lr: f64) -> JsResult<f32> {
        js(self.0.step_on(&pixels, &ids, lr).await)
    }
}

/// Adapters, as PEFT's two files.
#[wasm_bindgen]
pub struct Adapter(checkpoint::Adapter);

#[wasm_bindgen]
impl Adapter {
    /// `adapter_model.safetensors`.
    #[wasm_bindgen(getter)]
    pub fn weights(&self) -> Vec<u8> {
        self.0.weights.clone()
    }

    /// `adapter_config.json`.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.0.config.clone()
    }
}

/// Loss and gradients of a batch.
#[wasm_bindgen]
pub struct Gradients {
    loss: f32,
    safetensors: Vec<u8>,
}

#[wasm_bindgen]
impl Gradients {
    /// The loss.
    #[wasm_bindgen(getter)]
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// The gradients.
    #[wasm_bindgen(getter)]
    pub fn safetensors(&self) -> Vec<u8> {
        self.safetensors.clone()
    }
}
