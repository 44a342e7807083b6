//! Outputs of every layer, embeddings, logits and losses, against PyTorch, in every layout.

use burn::tensor::TensorData;

use super::*;
use crate::bundle::Bundle;
use crate::checkpoint::LoadOptions;
use crate::config::{ClipConfig, MciConfig, VisionConfig};
use crate::device::cpu;
use crate::loss::{ContrastiveLoss, SigmoidLoss};
use crate::model::{Clip, ImageTower, TextBatch, TextTransformer, Towers};
use crate::model_loader::{ModelLoader, SideFiles};

pub(super) fn config(path: &str) -> ClipConfig {
    ClipConfig::from_json(&text(&format!("models/{path}"))).unwrap()
}

/// OpenCLIP's config of the SigLIP fixture, with the sizes of its trunk, which timm does not register.
pub(super) fn siglip_open_clip_config() -> String {
    let mut config = json("models/siglip-p16/open_clip/open_clip_config.json");
    let trunk = config["fixture_trunk"].take();
    let vision = &mut config["model_cfg"]["vision_cfg"];
    for key in ["patch_size", "width", "layers", "mlp_ratio"] {
        vision[key] = trunk[key].clone();
    }
    vision["head_width"] = (trunk["width"].as_u64().unwrap() / trunk["heads"].as_u64().unwrap()).into();
    config.to_string()
}

pub(super) fn open(files: &[&str], config: &str, towers: Towers) -> crate::Result<Bundle> {
    open_with(files, config, LoadOptions { towers, ..LoadOptions::default() })
}

/// Loads a model from the files of a checkpoint, pushed in pieces of an odd size.
pub(super) fn open_with(files: &[&str], config: &str, options: LoadOptions) -> crate::Result<Bundle> {
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| fixture(&format!("models/{file}"))).collect();
    let headers: Vec<Header> = bytes.iter().map(|b| Header::parse(b, b.len() as u64).unwrap()).collect();
    let files = SideFiles { config: Some(config), ..SideFiles::default() };
    let mut loader = ModelLoader::new(&headers, &files, options, &cpu())?;
    for range in loader.weights.byte_ranges().to_vec() {
        for piece in bytes[range.file][range.begin as usize..range.end as usize].chunks(1_001) {
            loader.weights.push(piece)?;
        }
    }
    let (bundle, warnings) = loader.finish()?;
    assert_eq!(warnings, [""; 0]);
    Ok(bundle)
}

/// Compares tensors with golden ones, and records which.
struct Comparison {
    golden: Golden,
    notes: Value,
    folder: String,
    checked: Vec<String>,
}

impl Comparison {
    fn new(folder: &str) -> Self {
        let golden = Golden::open(&format!("models/{folder}/golden.safetensors"));
        Self {
            golden,
            notes: json(&format!("models/{folder}/golden.json")),
            folder: folder.into(),
            checked: Vec::new(),
        }
    }

    /// Does nothing if the folder has no such golden tensor; `finish` checks that all golden tensors are compared.
    fn compare(&mut self, name: &str, got: Vec<f32>) {
        if self.golden.header.tensor(name).is_none() {
            return;
        }
        let (_, expected) = self.golden.tensor(name);
        let atol = self.notes["tensors"][name]["atol"].as_f64().unwrap() as f32;
        let error = max_error(&got, &expected);
        assert!(error <= atol, "{} {name}: {error} > {atol}", self.folder);
        self.checked.push(name.into());
    }

    fn outputs(&mut self, model: &Clip, pixels: Tensor<4>, batch: &TextBatch) {
        let raw = model.visual.as_ref().unwrap().forward(pixels.clone());
        self.compare("image_embeds_raw", values(raw));
        self.compare("text_embeds_raw", values(model.text.as_ref().unwrap().forward(batch)));
        let (images, texts) = (model.encode_image(pixels).unwrap(), model.encode_text(batch).unwrap());
        self.compare("image_embeds", values(images.clone()));
        self.compare("text_embeds", values(texts.clone()));
        let per_image = model.logits_per_image(images, texts);
        self.compare("logits_per_image", values(per_image.clone()));
        self.compare("logits_per_text", values(per_image.clone().transpose()));
        let loss = match model.logit_bias {
            Some(_) => SigmoidLoss::default().forward(per_image),
            None => ContrastiveLoss::default().forward(per_image),
        };
        self.compare("loss", values(loss));
    }

    fn finish(mut self) {
        let inputs = ["pixel_values", "input_ids"];
        let all: Vec<&str> = self.golden.names().into_iter().filter(|n| !inputs.contains(n)).collect();
        self.checked.sort_unstable();
        assert_eq!(self.checked, all, "every golden tensor is compared");
    }
}

/// Golden inputs of a folder.
pub(super) fn inputs(folder: &str, config: &ClipConfig) -> (Tensor<4>, TextBatch) {
    let golden = Golden::open(&format!("models/{folder}/golden.safetensors"));
    let (shape, pixels) = golden.tensor("pixel_values");
    let ids = golden.ids("input_ids");
    let batch = TextBatch::new(&ids, ids.len() / config.text.context_length, &config.text).unwrap();
    (Tensor::from_data(TensorData::new(pixels, shape), &cpu()), batch)
}

/// Compares the output of every layer of both towers, and the model's outputs.
fn check_layers(folder: &str, files: &[&str], json: &str) {
    let bundle = open(files, json, Towers::Both).unwrap();
    let (model, config) = (bundle.model, bundle.config);
    let (pixels, batch) = inputs(folder, &config);
    let mut golden = Comparison::new(folder);
    match model.visual.as_ref().unwrap() {
        ImageTower::Vit(tower) => {
            let mut x = tower.embeddings(pixels.clone());
            golden.compare("vision_embeddings", values(x.clone()));
            x = tower.ln_pre.forward(x);
            for (i, block) in tower.transformer.resblocks.iter().enumerate() {
                x = block.forward(x);
                golden.compare(&format!("vision_layer_{i}"), values(x.clone()));
            }
            golden.compare("vision_last_hidden_state", values(x.clone()));
            let [n, _, width] = x.dims();
            let class = x.slice([0..n, 0..1]).reshape([n, width]);
            golden.compare("vision_pooler_output", values(tower.ln_post.forward(class)));
        }
        ImageTower::Siglip(tower) => {
            let mut x = tower.embeddings(pixels.clone());
            golden.compare("vision_embeddings", values(x.clone()));
            for (i, block) in tower.transformer.resblocks.iter().enumerate() {
                x = block.forward(x);
                golden.compare(&format!("vision_layer_{i}"), values(x.clone()));
            }
            x = tower.ln_post.forward(x);
            golden.compare("vision_last_hidden_state", values(x.clone()));
            golden.compare("vision_pooler_output", values(tower.head.forward(x)));
        }
        ImageTower::Resnet(_) | ImageTower::Mci(_) => {}
    }
    if golden.golden.header.tensor("text_embeddings").is_some() {
        let tower = model.text.as_ref().unwrap();
        let mut x = tower.embeddings(&batch);
        golden.compare("text_embeddings", values(x.clone()));
        for (i, block) in tower.transformer.resblocks.iter().enumerate() {
            x = block.forward(x);
            golden.compare(&format!("text_layer_{i}"), values(x.clone()));
        }
        let last = tower.last_hidden_state(&batch);
        golden.compare("text_last_hidden_state", values(last.clone()));
        let pooled = TextTransformer::pool(last, &batch);
        // SiglipModel's pooler output is after the head
        let pooled = if model.logit_bias.is_some() { tower.forward(&batch) } else { pooled };
        golden.compare("text_pooler_output", values(pooled));
    }
    golden.outputs(&model, pixels, &batch);
    golden.finish();
}

/// Compares a model's outputs with those of the folder `golden`.
fn check_outputs(golden: &str, inputs_of: &str, files: &[&str], json: &str) {
    let bundle = open(files, json, Towers::Both).unwrap();
    let (pixels, batch) = inputs(inputs_of, &bundle.config);
    let mut comparison = Comparison::new(golden);
    comparison.outputs(&bundle.model, pixels, &batch);
    assert!(comparison.checked.len() >= 4, "{:?}", comparison.checked);
}

#[test]
fn quick_gelu_pooled_at_argmax() {
    let folder = "clip-quickgelu-p8";
    let config = text(&format!("models/{folder}/hf/config.json"));
    check_layers(folder, &[&format!("{folder}/hf/model.safetensors")], &config);
    let config = text(&format!("models/{folder}/open_clip/open_clip_config.json"));
    check_outputs(folder, folder, &[&format!("{folder}/open_clip/open_clip_model.safetensors")], &config);
    let openai = format!("{folder}/openai");
    check_outputs(&openai, folder, &[&format!("{openai}/model.fp16.safetensors")], &config);
}

#[test]
fn gelu_pooled_at_the_end_token() {
    let folder = "clip-gelu-p16-eos";
    let config = text(&format!("models/{folder}/hf/config.json"));
    check_layers(folder, &[&format!("{folder}/hf/model.safetensors")], &config);
    let config = text(&format!("models/{folder}/open_clip/open_clip_config.json"));
    check_outputs(folder, folder, &[&format!("{folder}/open_clip/open_clip_model.safetensors")], &config);
}

#[test]
fn laion_in_shards_and_half_precisions() {
    let folder = "clip-gelu-p32-laion";
    let shards = [1, 2].map(|i| format!("{folder}/hf-sharded/model-0000{i}-of-00002.safetensors"));
    let config = text(&format!("models/{folder}/hf-sharded/config.json"));
    check_layers(folder, &[&shards[0], &shards[1]], &config);
    let config = text(&format!("models/{folder}/open_clip/open_clip_config.json"));
    check_outputs(folder, folder, &[&format!("{folder}/open_clip/open_clip_model.safetensors")], &config);
    for half in ["hf-fp16", "hf-bf16"] {
        let inner = format!("{folder}/{half}");
        let config = text(&format!("models/{inner}/config.json"));
        check_outputs(&inner, folder, &[&format!("{inner}/model.safetensors")], &config);
    }
}

#[test]
fn siglip() {
    let folder = "siglip-p16";
    let config = text(&format!("models/{folder}/hf/config.json"));
    check_layers(folder, &[&format!("{folder}/hf/model.safetensors")], &config);
    let inner = format!("{folder}/open_clip");
    let file = format!("{inner}/open_clip_model.safetensors");
    check_outputs(&inner, folder, &[&file], &siglip_open_clip_config());
}

#[test]
fn resnet() {
    let folder = "clip-resnet";
    let config = text(&format!("models/{folder}/open_clip/open_clip_config.json"));
    check_layers(folder, &[&format!("{folder}/open_clip/open_clip_model.safetensors")], &config);
}

/// Config of an MCi fixture. OpenCLIP's names a tower that only the fixture's script registers.
pub(super) fn mci_config(folder: &str) -> String {
    let published = text(&format!("models/{folder}/open_clip/open_clip_config.json"));
    let large = folder.ends_with("large");
    let known =
        published.replace(if large { "fastvit_fixture_large" } else { "fastvit_fixture_small" }, "fastvit_mci0");
    let mut config = ClipConfig::from_json(&known).unwrap();
    config.vision = VisionConfig::Mci(MciConfig {
        image_size: 64,
        layers: if large { vec![1; 5] } else { vec![1, 2, 1, 1] },
        widths: if large { vec![8, 16, 32, 64, 128] } else { vec![16, 32, 64, 128] },
        mlp_ratio: if large { 4 } else { 3 },
        attention_stages: if large { 2 } else { 1 },
        squeeze_stages: if large { 0 } else { 2 },
        layer_norm: large,
        stem_scale: !large,
    });
    config.to_json()
}

#[test]
fn mobileclip() {
    for folder in ["clip-mci-small", "clip-mci-large"] {
        check_layers(folder, &[&format!("{folder}/open_clip/open_clip_model.safetensors")], &mci_config(folder));
    }
    let published = text("models/clip-mci-small/open_clip/open_clip_config.json");
    for (name, stages) in [("fastvit_mci1", 4), ("fastvit_mci4", 5)] {
        let config = ClipConfig::from_json(&published.replace("fastvit_fixture_small", name)).unwrap();
        let VisionConfig::Mci(vision) = &config.vision else { panic!("{config:?}") };
        assert_eq!((vision.layers.len(), vision.widths.len()), (stages, stages));
        assert_eq!(ClipConfig::from_json(&config.to_json()).unwrap(), config);
    }
}
