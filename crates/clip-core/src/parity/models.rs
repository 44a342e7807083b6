//! Embeddings, logits and losses of PyTorch, in every layout.

use burn::tensor::TensorData;

use super::*;
use crate::bundle::Bundle;
use crate::checkpoint::{Layout, LoadOptions, Precision, WeightsLoader, load, save};
use crate::config::{ClipConfig, MciConfig, VisionConfig, VitConfig};
use crate::device::cpu;
use crate::loss::{ContrastiveLoss, SigmoidLoss};
use crate::model::{Clip, ImageTower, TextBatch, TextTransformer, Towers, logits};
use crate::model_loader::{ModelLoader, SideFiles};

fn config(path: &str) -> ClipConfig {
    ClipConfig::from_json(&text(&format!("models/{path}"))).unwrap()
}

/// OpenCLIP's config of the SigLIP fixture, whose trunk timm does not know: its numbers put beside the name.
fn siglip_open_clip_config() -> String {
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

/// A model from the files of a checkpoint, pushed in pieces of an odd size.
fn open_with(files: &[&str], config: &str, options: LoadOptions) -> crate::Result<Bundle> {
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

/// Compares tensors with golden ones, and knows which it compared.
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

    /// Nothing where the folder has no such golden tensor; `finish` sees that none is left over.
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

/// Inputs of a folder.
pub(super) fn inputs(folder: &str, config: &ClipConfig) -> (Tensor<4>, TextBatch) {
    let golden = Golden::open(&format!("models/{folder}/golden.safetensors"));
    let (shape, pixels) = golden.tensor("pixel_values");
    let ids = golden.ids("input_ids");
    let batch = TextBatch::new(&ids, ids.len() / config.text.context_length, &config.text).unwrap();
    (Tensor::from_data(TensorData::new(pixels, shape), &cpu()), batch)
}

/// Every layer of both towers, and what comes out.
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

/// What comes out of a layout, against the golden outputs of `golden`.
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

/// Config of an MCi fixture: OpenCLIP's own names a tower that only the fixture's script registers.
fn mci_config(folder: &str) -> String {
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

#[test]
fn one_tower_alone_needs_only_its_bytes() {
    let file = "clip-quickgelu-p8/hf/model.safetensors";
    let json = text("models/clip-quickgelu-p8/hf/config.json");
    let whole = open(&[file], &json, Towers::Both).unwrap();
    let (pixels, batch) = inputs("clip-quickgelu-p8", &whole.config);
    for towers in [Towers::Image, Towers::Text] {
        let one = open(&[file], &json, towers).unwrap().model;
        let (image, words) = (one.encode_image(pixels.clone()), one.encode_text(&batch));
        let (there, missing) = if towers == Towers::Image { (image, words) } else { (words, image) };
        let expected = match towers {
            Towers::Image => whole.model.encode_image(pixels.clone()),
            _ => whole.model.encode_text(&batch),
        };
        assert_eq!(values(there.unwrap()), values(expected.unwrap()));
        assert_eq!(missing.unwrap_err().code(), "missing-tower");
    }
    let header = Golden::open(&format!("models/{file}")).header;
    let bytes = |towers| -> u64 {
        let loader = WeightsLoader::new(
            core::slice::from_ref(&header),
            &whole.config,
            LoadOptions { towers, ..LoadOptions::default() },
            &cpu(),
        )
        .unwrap();
        loader.byte_ranges().iter().map(|range| range.end - range.begin).sum()
    };
    // both hold the temperature, 4 bytes
    assert_eq!(bytes(Towers::Image) + bytes(Towers::Text), bytes(Towers::Both) + 4);
}

#[test]
fn half_precision_stays_half_unless_widened() {
    let folder = "clip-gelu-p32-laion/hf-fp16";
    let (file, json) = (format!("{folder}/model.safetensors"), text(&format!("models/{folder}/config.json")));
    let kept = open(&[&file], &json, Towers::Both).unwrap();
    let wide = open_with(&[&file], &json, LoadOptions { precision: Precision::F32, ..LoadOptions::default() }).unwrap();
    assert_eq!((kept.dtype(), wide.dtype()), ("f16", "f32"));
    let (pixels, batch) = inputs("clip-gelu-p32-laion", &kept.config);
    let embed = |bundle: &Bundle| values(bundle.model.encode_image(pixels.clone()).unwrap());
    assert_eq!(embed(&kept), embed(&wide), "widened at use or at once");
    let learned = kept.clone().into_trainable();
    assert_eq!(
        (learned.dtype(), values(learned.model.encode_text(&batch).unwrap().inner())),
        ("f32", values(wide.model.encode_text(&batch).unwrap()))
    );
    let saved = |bundle: &Bundle| now(save(&bundle.model, &bundle.config, Layout::Hf, Default::default())).unwrap();
    assert!(saved(&kept) == saved(&wide));
}

#[test]
fn matrices_of_integers_keep_the_direction() {
    for (folder, weights) in [
        ("clip-quickgelu-p8/hf", "model.safetensors"),
        ("siglip-p16/hf", "model.safetensors"),
        ("clip-gelu-p32-laion/hf-fp16", "model.safetensors"),
    ] {
        let (file, json) = (format!("{folder}/{weights}"), text(&format!("models/{folder}/config.json")));
        let whole = open(&[&file], &json, Towers::Both).unwrap();
        let options = LoadOptions { precision: Precision::Int8, ..LoadOptions::default() };
        let integers = open_with(&[&file], &json, options).unwrap();
        assert_eq!(integers.dtype(), "q8");
        let table = integers.model.text.as_ref().unwrap().token_embedding.weight.val();
        assert_eq!(table.dtype(), burn::tensor::DType::F16);
        let (pixels, batch) = inputs(folder.split('/').next().unwrap(), &whole.config);
        let embed = |model: &Clip| (model.encode_image(pixels.clone()).unwrap(), model.encode_text(&batch).unwrap());
        let (images, texts) = embed(&whole.model);
        let (near_images, near_texts) = embed(&integers.model);
        for cosines in [(images * near_images.clone()).sum_dim(1), (texts * near_texts.clone()).sum_dim(1)] {
            assert!(values(cosines).into_iter().all(|cosine| cosine > 0.9995 && cosine < 1.0), "{folder}");
        }
        // what is saved, and what learns, is what the integers stand for
        let saved = |model: &Clip| now(save(model, &whole.config, Layout::Hf, Default::default())).unwrap();
        let bytes = saved(&integers.model);
        assert!(bytes != saved(&whole.model) && bytes == saved(&integers.into_trainable().model), "{folder}");
        let (again_images, again_texts) = embed(&load(&bytes, &whole.config, LoadOptions::default(), &cpu()).unwrap());
        for difference in [again_images - near_images, again_texts - near_texts] {
            let furthest = values(difference.abs()).into_iter().fold(0f32, f32::max);
            assert!(furthest < 1e-4, "{folder}: {furthest}");
        }
    }
}

/// ViT-L/14's table takes 152 MB, a WebGPU buffer 128 MiB: here the same with smaller numbers.
#[test]
fn a_table_above_the_devices_limit_is_cut_and_answers_alike() {
    for (folder, layout) in [("clip-quickgelu-p8", "hf"), ("clip-gelu-p32-laion/hf-fp16", "")] {
        let folder_of = format!("{folder}/{layout}").trim_end_matches('/').to_owned();
        let (file, json) = (format!("{folder_of}/model.safetensors"), text(&format!("models/{folder_of}/config.json")));
        let whole = open(&[&file], &json, Towers::Both).unwrap();
        let width = whole.config.text.width as u64;
        for rows in [1_023, 400, 100] {
            let options = LoadOptions { max_tensor_bytes: Some(rows * width * 4), ..LoadOptions::default() };
            let cut = open_with(&[&file], &json, options).unwrap();
            let tables = 1 + cut.model.text.as_ref().unwrap().token_embedding.rest.len() as u64;
            assert_eq!(tables, 1_024u64.div_ceil(rows));
            let (_, batch) = inputs(folder.split('/').next().unwrap(), &cut.config);
            let embed = |bundle: &Bundle| values(bundle.model.encode_text(&batch).unwrap());
            assert_eq!(embed(&cut), embed(&whole), "{folder} {rows}");
            let saved =
                |bundle: &Bundle| now(save(&bundle.model, &bundle.config, Layout::Hf, Default::default())).unwrap();
            assert!(saved(&cut) == saved(&whole), "{folder} {rows}");
        }
    }
}

#[test]
fn what_is_saved_loads_the_same_in_both_layouts() {
    for (file, json) in [
        ("clip-quickgelu-p8/hf/model.safetensors", text("models/clip-quickgelu-p8/hf/config.json")),
        ("siglip-p16/hf/model.safetensors", text("models/siglip-p16/hf/config.json")),
        ("siglip-p16/open_clip/open_clip_model.safetensors", siglip_open_clip_config()),
        (
            "clip-resnet/open_clip/open_clip_model.safetensors",
            text("models/clip-resnet/open_clip/open_clip_config.json"),
        ),
        ("clip-mci-small/open_clip/open_clip_model.safetensors", mci_config("clip-mci-small")),
        ("clip-mci-large/open_clip/open_clip_model.safetensors", mci_config("clip-mci-large")),
    ] {
        let original = Golden::open(&format!("models/{file}"));
        let Bundle { model, config, .. } = open(&[file], &json, Towers::Both).unwrap();
        let own = if file.contains("/hf/") { Layout::Hf } else { Layout::OpenClip };
        for layout in [Layout::Hf, Layout::OpenClip] {
            if !config.vision.is_trainable() && layout == Layout::Hf {
                let error = now(save(&model, &config, layout, Default::default())).unwrap_err();
                assert!(error.to_string().contains("transformers has no such model"), "{error}");
                continue;
            }
            let saved = now(save(&model, &config, layout, Default::default())).unwrap();
            let again = load(&saved, &config, LoadOptions::default(), &cpu()).unwrap();
            let back = Golden::new(now(save(&again, &config, own, Default::default())).unwrap());
            let integers = ["position_ids", "num_batches_tracked"];
            let names = original.names();
            let names: Vec<&&str> = names.iter().filter(|n| !integers.iter().any(|i| n.ends_with(i))).collect();
            assert_eq!(back.names().len(), names.len());
            for name in names {
                assert_eq!(back.tensor(name), original.tensor(name), "{file} {name}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let file = "clip-quickgelu-p8/hf/model.safetensors";
    let config = config("clip-quickgelu-p8/hf/config.json");
    let VisionConfig::Vit(vit) = config.vision.clone() else { panic!("{config:?}") };
    let refuse = |config: ClipConfig, code: &str, message: &str| {
        let error = open(&[file], &config.to_json(), Towers::Both).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(message), "{error}");
    };
    let shallower = VisionConfig::Vit(VitConfig { layers: 1, ..vit.clone() });
    refuse(ClipConfig { vision: shallower, ..config.clone() }, "extra-tensor", "got vision_model.encoder.layers.1.");
    let deeper = VisionConfig::Vit(VitConfig { layers: 9, ..vit });
    refuse(ClipConfig { vision: deeper, ..config.clone() }, "missing-tensor", "vision_model.encoder.layers.2.");
    refuse(
        ClipConfig { embed_dim: 41, ..config },
        "shape-mismatch",
        "visual_projection.weight: expected [41, 64], got [40, 64]",
    );
    let twice = open(&[file, file], &text("models/clip-quickgelu-p8/hf/config.json"), Towers::Both).unwrap_err();
    assert!(twice.to_string().contains("got it in two"), "{twice}");
}

#[test]
fn values_that_are_no_numbers_are_told_of() {
    let bytes = fixture("models/clip-quickgelu-p8/hf/model.safetensors");
    let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
    let json = text("models/clip-quickgelu-p8/hf/config.json");
    let files = SideFiles { config: Some(&json), ..SideFiles::default() };
    let mut loader = ModelLoader::new(&[header], &files, LoadOptions::default(), &cpu()).unwrap();
    for range in loader.weights.byte_ranges().to_vec() {
        let mut piece = bytes[range.begin as usize..range.end as usize].to_vec();
        if range.name == "visual_projection.weight" {
            piece[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        loader.weights.push(&piece).unwrap();
    }
    let (_, warnings) = loader.finish().unwrap();
    assert!(warnings[0].starts_with("visual_projection.weight holds NaN"));
}

#[test]
fn losses_and_their_gradients() {
    let golden = Golden::open("models/losses.safetensors");
    let device = cpu().autodiff();
    for (kind, n) in [("clip", "n8"), ("clip", "n3"), ("siglip", "n8"), ("siglip", "n3")] {
        let get = |name: &str| golden.tensor(&name.replace("{n}", n).replace("{kind}", kind));
        let features = |name| {
            let (shape, values) = get(name);
            Tensor::<2>::from_data(TensorData::new(values, shape), &device).require_grad()
        };
        let scalar = |name: &str| Tensor::<1>::from_data(TensorData::new(get(name).1, [1]), &device).require_grad();
        let (image, text) = (features("{n}.image_embeds"), features("{n}.text_embeds"));
        let (scale, bias) = (scalar("{n}.logit_scale"), scalar("{n}.logit_bias"));
        let plain = logits(image.clone(), text.clone(), scale.clone());
        let loss = match kind {
            "clip" => ContrastiveLoss::default().forward(plain),
            _ => SigmoidLoss::default().forward(plain + bias.clone().unsqueeze::<2>()),
        };
        assert!(max_error(&values(loss.clone().inner()), &get("{kind}.{n}.loss").1) < 1e-5, "{kind} {n}");
        let grads = loss.backward();
        let mut pairs = vec![
            ("{kind}.{n}.grad_image", values(image.grad(&grads).unwrap())),
            ("{kind}.{n}.grad_text", values(text.grad(&grads).unwrap())),
            ("{kind}.{n}.grad_logit_scale", values(scale.grad(&grads).unwrap())),
        ];
        if kind == "siglip" {
            pairs.push(("{kind}.{n}.grad_logit_bias", values(bias.grad(&grads).unwrap())));
        }
        for (name, got) in pairs {
            let (_, expected) = get(name);
            let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(max_error(&got, &expected) <= 1e-4 * largest, "{kind} {n} {name}");
        }
    }
}
