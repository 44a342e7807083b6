//! A model that learns.

use clip_core::eval::{Evaluation, Recall};
use clip_core::train::{AdamWOptions, Decay, Progress, RunOptions, TrainingSession};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};
use crate::model::ClipModel;
use crate::pairs::Pairs;
use crate::{Device, tokenizer::JsTokenizer};

/// A model being trained, with its tokenizer, its optimiser and at most one run over a data set.
#[wasm_bindgen]
pub struct Trainer(TrainingSession);

/// Settings of a run, checked as far as they can be without the data.
#[wasm_bindgen(js_name = FitSettings)]
pub struct JsFitSettings(RunOptions);

#[wasm_bindgen(js_class = FitSettings)]
impl JsFitSettings {
    /// Settings by position: the worker's service is the only caller.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::too_many_arguments, reason = "plain numbers cross the border without a copy of the object")]
    pub fn new(
        batch_size: f64,
        epochs: f64,
        lr: f64,
        warmup: f64,
        schedule: &str,
        beta_1: f64,
        beta_2: f64,
        epsilon: f64,
        weight_decay: f64,
        seed: u32,
    ) -> JsResult<Self> {
        let decay = js(Decay::from_name(schedule))?;
        let adamw = AdamWOptions { beta_1, beta_2, epsilon, weight_decay };
        let options = RunOptions { batch_size, epochs, lr, warmup, decay, adamw, seed: seed.into() };
        js(options.validate())?;
        Ok(Self(options))
    }
}

/// What a step did.
#[wasm_bindgen]
pub struct StepProgress(Progress);

#[wasm_bindgen]
impl StepProgress {
    /// Steps of the run done.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> usize {
        self.0.step
    }

    /// Steps of the run in all.
    #[wasm_bindgen(getter, js_name = totalSteps)]
    pub fn total_steps(&self) -> usize {
        self.0.total_steps
    }

    /// Epoch, from 1.
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

    /// `logit_scale` before the update.
    #[wasm_bindgen(getter, js_name = logitScale)]
    pub fn logit_scale(&self) -> f32 {
        self.0.logit_scale
    }
}

fn flat(Evaluation { image_to_text, text_to_image }: Evaluation) -> Vec<f64> {
    let of = |r: Recall| [r.at_1, r.at_5, r.at_10, r.median_rank];
    [of(image_to_text), of(text_to_image)].concat()
}

#[wasm_bindgen]
impl Trainer {
    /// Fresh weights. Without `text.vocabSize` in `config`, the vocabulary is cut to the first run's captions.
    pub fn create(config: &str, tokenizer: JsTokenizer, seed: u32, device: &Device) -> JsResult<Self> {
        js(TrainingSession::create(config, tokenizer.0, seed.into(), &device.0)).map(Self)
    }

    /// Goes on from a model's weights, which it takes over.
    pub fn from(model: ClipModel) -> JsResult<Self> {
        js(TrainingSession::from_bundle(model.bundle)).map(Self)
    }

    /// The model as it is now.
    pub fn model(&self) -> JsResult<ClipModel> {
        js(self.0.bundle()).map(|bundle| ClipModel { bundle, warning: None })
    }

    /// An empty data set for this model.
    pub fn pairs(&self) -> JsResult<Pairs> {
        Ok(Pairs::new(self.0.new_dataset(), js(self.0.tokenizer())?.clone()))
    }

    /// Starts a run, which takes the pairs over; returns its number of steps.
    pub fn start(&mut self, pairs: Pairs, settings: &JsFitSettings) -> JsResult<usize> {
        js(self.0.start(pairs.dataset, &settings.0))
    }

    /// The next step; nothing after the last.
    pub async fn step(&mut self) -> JsResult<Option<StepProgress>> {
        Ok(js(self.0.step().await)?.map(StepProgress))
    }

    /// Ends the run; the weights stay as the last step left them.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Recall at 1, 5, 10 and median rank, image→text and then text→image.
    pub async fn evaluate(&self, pairs: &Pairs, distractors: Option<Pairs>) -> JsResult<Vec<f64>> {
        js(self.0.evaluate(&pairs.dataset, distractors.as_ref().map(|d| &d.dataset)).await).map(flat)
    }

    /// Loss of a batch and, as safetensors in `layout`, the gradient of every parameter.
    pub async fn gradients(&self, pixels: Vec<f32>, ids: Vec<i32>, layout: &str) -> JsResult<Gradients> {
        let (loss, safetensors) = js(self.0.gradients(&pixels, &ids, layout).await)?;
        Ok(Gradients { loss, safetensors })
    }

    /// One AdamW step on a batch given as numbers, outside any run; returns the loss before it.
    #[wasm_bindgen(js_name = stepOn)]
    pub async fn step_on(&mut self, pixels: Vec<f32>, ids: Vec<i32>, lr: f64) -> JsResult<f32> {
        js(self.0.step_on(&pixels, &ids, lr).await)
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
