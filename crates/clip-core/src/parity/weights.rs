//! Weights as they are published: of one tower, of a wrapped model, in other types, in shards that do not fit.

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::models::inputs;
use super::*;
use crate::bundle::Bundle;
use crate::checkpoint::LoadOptions;
use crate::config::ClipConfig;
use crate::device::cpu;
use crate::model::Towers;
use crate::model_loader::{ModelLoader, SideFiles};
use crate::train::TrainingSession;

const FOLDER: &str = "clip-gelu-p16-eos";

/// Tensors of a file: name, type, shape, bytes.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(file: &str) -> Tensors {
    let file = Golden::open(&format!("models/{file}"));
    let entry = |name: &&str| {
        let info = file.header.tensor(name).unwrap();
        let (begin, end) = file.header.bytes_of(info);
        let shape = info.shape.iter().map(|&side| side as usize).collect();
        assert!(info.dtype == "F32" || info.dtype == "I64", "{name}");
        let dtype = if info.dtype == "F32" { Dtype::F32 } else { Dtype::I64 };
        ((*name).to_owned(), dtype, shape, file.bytes[begin as usize..end as usize].to_vec())
    };
    file.names().iter().map(entry).collect()
}

fn hf() -> Tensors {
    tensors(&format!("{FOLDER}/hf/model.safetensors"))
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

fn config() -> Value {
    json(&format!("models/{FOLDER}/hf/config.json"))
}

/// Loads a model from files; also returns its warnings.
fn open(files: &[Vec<u8>], config: &Value, towers: Towers) -> crate::Result<(Bundle, Vec<String>)> {
    let headers: Vec<Header> = files.iter().map(|b| Header::parse(b, b.len() as u64).unwrap()).collect();
    let config = config.to_string();
    let options = LoadOptions { towers, ..LoadOptions::default() };
    let mut loader =
        ModelLoader::new(&headers, &SideFiles { config: Some(&config), ..SideFiles::default() }, options, &cpu())?;
    for range in loader.weights.byte_ranges().to_vec() {
        for piece in files[range.file][range.begin as usize..range.end as usize].chunks(1_001) {
            loader.weights.push(piece)?;
        }
    }
    loader.finish()
}

/// Checks that loaded towers give PyTorch's embeddings, and that others are refused.
fn check_embeddings(bundle: &Bundle, towers: Towers) {
    let whole = ClipConfig::from_json(&config().to_string()).unwrap();
    let (pixels, batch) = inputs(FOLDER, &whole);
    let golden = Golden::open(&format!("models/{FOLDER}/golden.safetensors"));
    let results = [
        ("image_embeds", bundle.model.encode_image(pixels), towers.image()),
        ("text_embeds", bundle.model.encode_text(&batch), towers.text()),
    ];
    for (name, got, there) in results {
        match got {
            Ok(got) => assert!(there && max_error(&values(got), &golden.tensor(name).1) < 1e-5, "{name}"),
            Err(error) => assert!(!there && error.code() == "missing-tower", "{name}: {error}"),
        }
    }
}

fn without(mut tensors: Tensors, prefixes: &[&str]) -> Tensors {
    tensors.retain(|(name, ..)| !prefixes.iter().any(|prefix| name.starts_with(prefix)));
    tensors
}

/// A tower's part of the config, as transformers writes it for the tower's own class.
fn tower_config(tower: &str) -> Value {
    let mut config = config()[format!("{tower}_config")].take();
    config["model_type"] = format!("clip_{tower}_model").into();
    config["projection_dim"] = 32.into();
    config
}

#[test]
fn a_single_tower_loads_with_the_whole_config_and_with_its_own() {
    let image = file(&without(hf(), &["text_", "logit_scale"]));
    let words = file(&without(hf(), &["vision_", "visual_", "logit_scale"]));
    let open_clip =
        |drop: &[&str]| file(&without(tensors(&format!("{FOLDER}/open_clip/open_clip_model.safetensors")), drop));
    let published = json(&format!("models/{FOLDER}/open_clip/open_clip_config.json"));
    let text_names = ["transformer.", "token_", "positional", "ln_final", "text_projection", "logit_scale"];
    let cases = [
        (image.clone(), config(), Towers::Image),
        (image.clone(), tower_config("vision"), Towers::Image),
        (file(&hf()), tower_config("vision"), Towers::Image),
        (words.clone(), config(), Towers::Text),
        (words.clone(), tower_config("text"), Towers::Text),
        (open_clip(&text_names), published.clone(), Towers::Image),
        (open_clip(&["visual.", "logit_scale"]), published, Towers::Text),
    ];
    for (weights, config, towers) in cases {
        let weights = [weights];
        let (asked, warnings) = open(&weights, &config, towers).unwrap();
        check_embeddings(&asked, towers);
        assert_eq!(warnings, [""; 0], "{config}");
        let (bundle, warnings) = open(&weights, &config, Towers::Both).unwrap();
        check_embeddings(&bundle, towers);
        let missing = if towers == Towers::Image { "text" } else { "image" };
        assert!(warnings.len() == 1 && warnings[0].contains(&format!("no {missing} tower")), "{warnings:?}");
        let other = if towers == Towers::Image { Towers::Text } else { Towers::Image };
        let error = open(&weights, &config, other).unwrap_err();
        assert!(error.code() == "missing-tower" && error.to_string().contains(missing), "{error}");
    }
    let error = ClipConfig::from_json(&tower_config("vision").to_string()).unwrap_err();
    assert!(error.to_string().starts_with("invalid config: model_type"), "a trainer needs both towers: {error}");
}

#[test]
fn a_single_tower_of_siglip_loads_with_its_own_config() {
    let weights = without(tensors("siglip-p16/hf/model.safetensors"), &["logit_"]);
    let whole = json("models/siglip-p16/hf/config.json");
    let golden = Golden::open("models/siglip-p16/golden.safetensors");
    let (pixels, batch) = inputs("siglip-p16", &ClipConfig::from_json(&whole.to_string()).unwrap());
    for (tower, drop, towers) in [("vision", "text_", Towers::Image), ("text", "vision_", Towers::Text)] {
        let mut config = whole[format!("{tower}_config")].clone();
        config["model_type"] = format!("siglip_{tower}_model").into();
        let (bundle, _) = open(&[file(&without(weights.clone(), &[drop]))], &config, Towers::Both).unwrap();
        let (got, name) = match towers {
            Towers::Image => (bundle.model.encode_image(pixels.clone()), "image_embeds"),
            _ => (bundle.model.encode_text(&batch), "text_embeds"),
        };
        assert!(max_error(&values(got.unwrap()), &golden.tensor(name).1) < 1e-5, "{tower}");
    }
}

#[test]
fn a_missing_projection_is_explained() {
    for (tower, drop, name) in [
        ("text", ["vision_", "visual_", "text_projection"], "text_projection.weight"),
        ("vision", ["text_", "visual_projection", "logit_scale"], "visual_projection.weight"),
    ] {
        let weights = [file(&without(hf(), &drop))];
        for config in [config(), tower_config(tower)] {
            let error = open(&weights, &config, Towers::Both).unwrap_err();
            let message = error.to_string();
            assert!(error.code() == "missing-tensor" && message.contains(name), "{message}");
            assert!(message.contains("WithProjection"), "{message}");
        }
    }
}

#[test]
fn weights_without_a_temperature_give_embeddings_but_no_logits() {
    let weights = [file(&without(hf(), &["logit_scale"]))];
    let (bundle, warnings) = open(&weights, &config(), Towers::Both).unwrap();
    check_embeddings(&bundle, Towers::Both);
    assert!(warnings.len() == 1 && warnings[0].starts_with("logit_scale is not in the weights"), "{warnings:?}");
    let row = vec![0.0; bundle.config.embed_dim];
    let error = block_on_cpu(bundle.logits_per_image(&row, &row)).unwrap_err();
    assert!(error.code() == "missing-tensor" && error.to_string().contains("logit_scale"), "{error}");
    // it is not saved
    for layout in ["hf", "open_clip"] {
        let saved = Golden::new(block_on_cpu(bundle.save(layout)).unwrap());
        assert!(saved.header.tensor("logit_scale").is_none(), "{layout}");
    }
    // training starts from CLIP's initial value
    let session = TrainingSession::from_bundle(bundle).unwrap();
    let learning = session.bundle().unwrap();
    let start = values(learning.model.logit_scale.val())[0];
    assert!((f64::from(start) - crate::config::LOGIT_SCALE_INIT).abs() < 1e-6, "{start}");
    assert!(block_on_cpu(learning.logits_per_image(&row, &row)).is_ok());
}

#[test]
fn a_missing_bias_depends_on_the_layout() {
    let whole = json("models/siglip-p16/hf/config.json");
    let config = ClipConfig::from_json(&whole.to_string()).unwrap();
    for (layout, message, logits) in [("hf", "logits are refused", false), ("open_clip", "taken as 0", true)] {
        let file_name = if layout == "hf" { "model" } else { "open_clip_model" };
        let tensors = tensors(&format!("siglip-p16/{layout}/{file_name}.safetensors"));
        let ours = serde_json::from_str(&config.to_json()).unwrap();
        let (bundle, warnings) = open(&[file(&without(tensors, &["logit_bias"]))], &ours, Towers::Both).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(message), "{warnings:?}");
        let mut row = vec![0.0; config.embed_dim];
        row[0] = 1.0;
        match block_on_cpu(bundle.logits_per_image(&row, &row)) {
            Ok(got) => assert!(logits && (got[0] - values(bundle.model.logit_scale.val())[0].exp()).abs() < 1e-3),
            Err(error) => assert!(!logits && error.code() == "missing-tensor", "{error}"),
        }
    }
}

#[test]
fn prefixes_of_wrappers_are_stripped() {
    let open_clip = tensors(&format!("{FOLDER}/open_clip/open_clip_model.safetensors"));
    let published = json(&format!("models/{FOLDER}/open_clip/open_clip_config.json"));
    for prefix in
        ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "clip.", "model.", "module.model."]
    {
        for (tensors, config) in [(hf(), config()), (open_clip.clone(), published.clone())] {
            let wrapped = tensors.into_iter().map(|(name, d, s, b)| (format!("{prefix}{name}"), d, s, b)).collect();
            let (bundle, warnings) = open(&[file(&wrapped)], &config, Towers::Both).unwrap();
            check_embeddings(&bundle, Towers::Both);
            assert_eq!(warnings, [""; 0], "{prefix}");
        }
    }
    // one tensor under two names
    let mut twice = hf();
    let (_, dtype, shape, bytes) = twice.iter().find(|(name, ..)| name == "logit_scale").unwrap().clone();
    twice.push(("module.logit_scale".into(), dtype, shape, bytes));
    let error = open(&[file(&twice)], &config(), Towers::Both).unwrap_err();
    assert!(error.to_string().contains("a tensor twice, as logit_scale and module.logit_scale"), "{error}");
}

#[test]
fn unknown_tensors_give_a_warning() {
    for (added, warning) in [
        (vec!["visual_projection.bias"], "the tensor visual_projection.bias is not known and was not used"),
        (
            vec!["wobble", "logit_bias", "head.weight"],
            "the tensor head.weight and 2 more are not known and were not used",
        ),
    ] {
        let mut tensors = hf();
        let (_, dtype, shape, bytes) = tensors.iter().find(|(name, ..)| name == "logit_scale").unwrap().clone();
        tensors.extend(added.into_iter().map(|name| (name.into(), dtype, shape.clone(), bytes.clone())));
        let (bundle, warnings) = open(&[file(&tensors)], &config(), Towers::Both).unwrap();
        check_embeddings(&bundle, Towers::Both);
        assert_eq!(warnings, [warning]);
    }
}

#[test]
fn f64_is_read_and_other_types_are_refused_by_name() {
    let wide = |(name, _, shape, bytes): (String, Dtype, Vec<usize>, Vec<u8>)| {
        let doubles = bytes.as_chunks().0.iter().flat_map(|b| f64::from(f32::from_le_bytes(*b)).to_le_bytes());
        (name, Dtype::F64, shape, doubles.collect())
    };
    let doubles = hf().into_iter().filter(|(_, dtype, ..)| *dtype == Dtype::F32).map(wide).collect();
    let (bundle, warnings) = open(&[file(&doubles)], &config(), Towers::Both).unwrap();
    check_embeddings(&bundle, Towers::Both);
    assert_eq!(warnings, [""; 0]);
    for (dtype, size) in [(Dtype::I8, 1), (Dtype::F8_E4M3, 1), (Dtype::BOOL, 1), (Dtype::I64, 8), (Dtype::U16, 2)] {
        let mut tensors = hf();
        let tensor = tensors.iter_mut().find(|(name, ..)| name == "visual_projection.weight").unwrap();
        (tensor.1, tensor.3) = (dtype, vec![0; tensor.3.len() / 4 * size]);
        let error = open(&[file(&tensors)], &config(), Towers::Both).unwrap_err();
        let message = error.to_string();
        let expected = format!("visual_projection.weight: expected F64, F32, F16 or BF16, got {dtype:?}");
        assert!(error.code() == "invalid-checkpoint" && message.contains(&expected), "{message}");
    }
}

#[test]
fn projection_dim_may_be_in_the_towers() {
    let with = |root: Option<usize>, vision: Option<usize>, text: Option<usize>| {
        let mut config = config();
        config["projection_dim"] = root.into();
        config["vision_config"]["projection_dim"] = vision.into();
        config["text_config"]["projection_dim"] = text.into();
        ClipConfig::from_json(&config.to_string()).map(|config| config.embed_dim)
    };
    for (root, vision, text, expected) in [
        (Some(32), Some(512), Some(64), 32),
        (None, Some(32), Some(32), 32),
        (None, Some(32), None, 32),
        (None, None, Some(32), 32),
        (None, None, None, 512),
    ] {
        assert_eq!(with(root, vision, text).unwrap(), expected);
    }
    let error = with(None, Some(32), Some(64)).unwrap_err().to_string();
    assert!(error.contains("32 in vision_config and 64 in text_config"), "{error}");
}

#[test]
fn pixels_that_no_patch_covers_give_a_warning() {
    let weights = [file(&hf())];
    let (whole, _) = open(&weights, &config(), Towers::Both).unwrap();
    let mut config = config();
    config["vision_config"]["image_size"] = 50.into();
    let (bundle, warnings) = open(&weights, &config, Towers::Both).unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("last 2 columns and rows"), "{warnings:?}");
    // [3, 50, 50], and of it [3, 48, 48]
    let pixels: Vec<f32> = (0..3 * 50 * 50).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let rows = pixels.chunks_exact(50).enumerate().filter(|(row, _)| row % 50 < 48);
    let seen: Vec<f32> = rows.flat_map(|(_, row)| &row[..48]).copied().collect();
    let (a, b) =
        (block_on_cpu(bundle.encode_pixels(&pixels)).unwrap(), block_on_cpu(whole.encode_pixels(&seen)).unwrap());
    assert!(max_error(&a, &b) < 1e-6);
}

#[test]
fn the_config_of_another_model_family_is_refused_by_name() {
    let error = ClipConfig::from_json(r#"{"model_type": "distilbert", "dim": 768}"#).unwrap_err().to_string();
    assert!(error.contains("model_type") && error.contains("\"distilbert\""), "{error}");
}
