//! A model that learns.

use clip_core::checkpoint;
use clip_core::eval::{Evaluation, Recall};
use clip_core::model::Towers;
use clip_core::preprocess::Augmentation;
use clip_core::train::{AdamWOptions, Decay, MuonOptions, Progress, RunOptions, TrainingSession, Tuning, Wanted};
use js_sys::Reflect;
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
    /// From an object of numbers; what is no number becomes one that is refused by name.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &JsValue) -> JsResult<Self> {
        let get = |key: &str| Reflect::get(settings, &key.into());
        let number = |key: &str| get(key).map(|value| value.as_f64().unwrap_or(f64::NAN));
        let optional = |key: &str| if get(key)?.is_undefined() { Ok(None) } else { number(key).map(Some) };
        let schedule = get("schedule")?.as_string().unwrap_or_default();
        let adamw = AdamWOptions {
            beta_1: number("beta1")?,
            beta_2: number("beta2")?,
            epsilon: number("epsilon")?,
            weight_decay: number("weightDecay")?,
        };
        let of = |group: &JsValue, key: &str| Reflect::get(group, &key.into()).map(|x| x.as_f64().unwrap_or(f64::NAN));
        let range = |group: &JsValue, key: &str| {
            let list = js_sys::Array::from(&Reflect::get(group, &key.into())?);
            Ok::<_, JsValue>([0, 1].map(|i| list.get(i).as_f64().unwrap_or(f64::NAN)))
        };
        let (lora, muon, augment) = (get("lora")?, get("muon")?, get("augment")?);
        let augment = if augment.is_object() {
            let (scale, ratio) = (range(&augment, "scale")?, range(&augment, "ratio")?);
            Some(Augmentation { scale, ratio, flip: of(&augment, "flip")? })
        } else {
            None
        };
        let lora = if lora.is_object() { Some((of(&lora, "rank")?, of(&lora, "alpha")?)) } else { None };
        let muon = if muon.is_object() {
            let (lr, momentum) = (of(&muon, "lr")?, of(&muon, "momentum")?);
            Some(MuonOptions { lr, momentum, weight_decay: of(&muon, "weightDecay")? })
        } else {
            None
        };
        let options = RunOptions {
            batch_size: number("batchSize")?,
            micro_batch_size: optional("microBatchSize")?,
            activation_checkpointing: get("activationCheckpointing")?.is_truthy(),
            epochs: number("epochs")?,
            lr: number("lr")?,
            warmup: number("warmup")?,
            decay: js(Decay::from_name(&schedule))?,
            adamw,
            muon,
            clip_norm: optional("clipNorm")?,
            label_smoothing: number("labelSmoothing")?,
            mask_duplicates: get("maskDuplicates")?.is_truthy(),
            augment,
            half: js(RunOptions::is_half(&get("precision")?.as_string().unwrap_or_default()))?,
            patch_dropout: number("patchDropout")?,
            ema_decay: optional("emaDecay")?,
            tuning: js(Tuning::new(optional("lastBlocks")?, lora))?,
            lock: get("lock")?.as_string().map(|name| js(Towers::from_name(&name))).transpose()?,
            seed: number("seed")? as u64,
        };
        js(options.validate())?;
        Ok(Self(options))
    }
}

/// Images that a step needs.
#[wasm_bindgen(js_name = Wanted)]
pub struct JsWanted(Wanted);

#[wasm_bindgen(js_class = Wanted)]
impl JsWanted {
    /// The step, from 0.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> usize {
        self.0.step
    }

    /// Its epoch, from 0.
    #[wasm_bindgen(getter)]
    pub fn epoch(&self) -> usize {
        self.0.epoch
    }

    /// Whose images.
    #[wasm_bindgen(getter)]
    pub fn pairs(&self) -> Vec<u32> {
        self.0.pairs.iter().map(|&pair| pair as u32).collect()
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

    /// Length of the gradients before they were clipped.
    #[wasm_bindgen(getter, js_name = gradientNorm)]
    pub fn gradient_norm(&self) -> f32 {
        self.0.gradient_norm
    }

    /// Mean cosine of two images, and of two captions, of the batch.
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

fn flat(Evaluation { image_to_text, text_to_image, grouped }: Evaluation) -> Vec<f64> {
    let of = |r: Recall| [r.at_1, r.at_5, r.at_10, r.median_rank, r.queries as f64];
    let grouped = [grouped.images as f64, grouped.captions as f64];
    [&of(image_to_text)[..], &of(text_to_image), &grouped].concat()
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

    /// What the user should know of its configuration.
    #[wasm_bindgen(getter)]
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }

    /// The model as it is now.
    pub fn model(&self) -> JsResult<ClipModel> {
        js(self.0.bundle()).map(|bundle| ClipModel { bundle, warnings: Vec::new() })
    }

    /// An empty data set for this model.
    pub fn pairs(&self) -> JsResult<Pairs> {
        Ok(Pairs::new(self.0.new_dataset(), js(self.0.tokenizer())?.clone()))
    }

    /// An empty data set for a run with these settings.
    #[wasm_bindgen(js_name = runPairs)]
    pub fn run_pairs(&self, settings: &JsFitSettings) -> JsResult<Pairs> {
        Ok(Pairs::new(js(self.0.run_dataset(&settings.0))?, js(self.0.tokenizer())?.clone()))
    }

    /// An empty data set for the run that was stopped.
    #[wasm_bindgen(js_name = interruptedPairs)]
    pub fn interrupted_pairs(&self) -> JsResult<Pairs> {
        Ok(Pairs::new(js(self.0.interrupted_dataset())?, js(self.0.tokenizer())?.clone()))
    }

    /// Images that a step of the run needs; nothing where it needs none, or after the last step.
    pub fn wanted(&self, ahead: usize) -> Option<JsWanted> {
        self.0.wanted(ahead).map(JsWanted)
    }

    /// Starts a run, which takes the pairs over; returns its number of steps.
    pub fn start(&mut self, pairs: Pairs, settings: &JsFitSettings) -> JsResult<usize> {
        js(self.0.start(pairs.dataset, &settings.0))
    }

    /// Everything that training goes on from, as one file.
    #[wasm_bindgen(js_name = saveState)]
    pub async fn save_state(&self) -> JsResult<Vec<u8>> {
        js(self.0.save_state().await)
    }

    /// The adapters, as PEFT reads them.
    #[wasm_bindgen(js_name = saveAdapter)]
    pub async fn save_adapter(&self) -> JsResult<Adapter> {
        js(self.0.save_adapter().await).map(Adapter)
    }

    /// Takes up what `saveState` wrote.
    #[wasm_bindgen(js_name = fromState)]
    pub fn from_state(bytes: &[u8], max_tensor_bytes: Option<f64>, device: &Device) -> JsResult<Self> {
        js(TrainingSession::from_state(bytes, max_tensor_bytes.map(|bytes| bytes as u64), &device.0)).map(Self)
    }

    /// Goes on with the run that was stopped, over the same pairs, which it takes over; returns its number of steps.
    pub fn resume(&mut self, pairs: Pairs) -> JsResult<usize> {
        js(self.0.resume_run(pairs.dataset))
    }

    /// The next step, with the images that it wants; nothing after the last.
    pub async fn step(&mut self, squares: Option<Vec<u8>>) -> JsResult<Option<StepProgress>> {
        Ok(js(self.0.step(squares.as_deref()).await)?.map(StepProgress))
    }

    /// Ends the run; the weights stay as the last step left them.
    pub fn stop(&mut self) {
        self.0.stop();
    }

    /// Recall at 1, 5, 10, median rank and number of queries, image→text and then text→image; then the images and the captions
    /// that have an equal one.
    pub async fn evaluate(&self, pairs: &Pairs) -> JsResult<Vec<f64>> {
        js(self.0.evaluate(&pairs.dataset, None).await).map(flat)
    }

    /// The same among more pairs.
    #[wasm_bindgen(js_name = evaluateAmong)]
    pub async fn evaluate_among(&self, pairs: &Pairs, distractors: &Pairs) -> JsResult<Vec<f64>> {
        js(self.0.evaluate(&pairs.dataset, Some(&distractors.dataset)).await).map(flat)
    }

    /// Embeddings of the pairs' images, `[pairs, embed_dim]`.
    #[wasm_bindgen(js_name = embedImages)]
    pub async fn embed_images(&self, pairs: &Pairs) -> JsResult<Vec<f32>> {
        js(self.0.embed_images(&pairs.dataset).await)
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

/// Adapters in PEFT's two files.
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
