//! Loading with every option, saving, and refusing checkpoints that do not fit.

use super::models::{config, inputs, mci_config, open, open_with, siglip_open_clip_config};
use super::*;
use crate::bundle::Bundle;
use crate::checkpoint::{Layout, LoadOptions, Precision, WeightsLoader, load, save};
use crate::config::{ClipConfig, VisionConfig, VitConfig};
use crate::device::cpu;
use crate::model::{Clip, Towers};
use crate::model_loader::{ModelLoader, SideFiles};

#[test]
fn a_single_tower_needs_only_its_bytes() {
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
    // both have the temperature, 4 bytes
    assert_eq!(bytes(Towers::Image) + bytes(Towers::Text), bytes(Towers::Both) + 4);
}

#[test]
fn f16_weights_stay_f16_unless_f32_is_asked_for() {
    let folder = "clip-gelu-p32-laion/hf-fp16";
    let (file, json) = (format!("{folder}/model.safetensors"), text(&format!("models/{folder}/config.json")));
    let kept = open(&[&file], &json, Towers::Both).unwrap();
    let wide = open_with(&[&file], &json, LoadOptions { precision: Precision::F32, ..LoadOptions::default() }).unwrap();
    assert_eq!((kept.dtype(), wide.dtype()), ("f16", "f32"));
    let (pixels, batch) = inputs("clip-gelu-p32-laion", &kept.config);
    let embed = |bundle: &Bundle| values(bundle.model.encode_image(pixels.clone()).unwrap());
    assert_eq!(embed(&kept), embed(&wide), "cast at use or at loading");
    let learned = kept.clone().into_trainable();
    assert_eq!(
        (learned.dtype(), values(learned.model.encode_text(&batch).unwrap().inner())),
        ("f32", values(wide.model.encode_text(&batch).unwrap()))
    );
    let saved =
        |bundle: &Bundle| block_on_cpu(save(&bundle.model, &bundle.config, Layout::Hf, Default::default())).unwrap();
    assert!(saved(&kept) == saved(&wide));
}

#[test]
fn int8_weights_keep_the_directions_of_embeddings() {
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
        // the dequantised weights are saved and trained
        let saved = |model: &Clip| block_on_cpu(save(model, &whole.config, Layout::Hf, Default::default())).unwrap();
        let bytes = saved(&integers.model);
        assert!(bytes != saved(&whole.model) && bytes == saved(&integers.into_trainable().model), "{folder}");
        let (again_images, again_texts) = embed(&load(&bytes, &whole.config, LoadOptions::default(), &cpu()).unwrap());
        for difference in [again_images - near_images, again_texts - near_texts] {
            let furthest = values(difference.abs()).into_iter().fold(0f32, f32::max);
            assert!(furthest < 1e-4, "{folder}: {furthest}");
        }
    }
}

/// ViT-L/14's table has 152 MB, a WebGPU buffer 128 MiB; here smaller numbers.
#[test]
fn a_token_table_above_the_devices_limit_is_split() {
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
            let saved = |bundle: &Bundle| {
                block_on_cpu(save(&bundle.model, &bundle.config, Layout::Hf, Default::default())).unwrap()
            };
            assert!(saved(&cut) == saved(&whole), "{folder} {rows}");
        }
    }
}

#[test]
fn saved_checkpoints_load_unchanged_in_both_layouts() {
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
                let error = block_on_cpu(save(&model, &config, layout, Default::default())).unwrap_err();
                assert!(error.to_string().contains("transformers has no such model"), "{error}");
                continue;
            }
            let saved = block_on_cpu(save(&model, &config, layout, Default::default())).unwrap();
            let again = load(&saved, &config, LoadOptions::default(), &cpu()).unwrap();
            let back = Golden::new(block_on_cpu(save(&again, &config, own, Default::default())).unwrap());
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
fn tensors_that_do_not_fit_the_config_are_refused_by_name() {
    let file = "clip-quickgelu-p8/hf/model.safetensors";
    let config = config("clip-quickgelu-p8/hf/config.json");
    let VisionConfig::Vit(vit) = config.vision.clone() else { panic!("{config:?}") };
    let refuse = |config: ClipConfig, code: &str, message: &str| {
        let error = open(&[file], &config.to_json(), Towers::Both).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(message), "{error}");
    };
    let shallower = VisionConfig::Vit(VitConfig { layers: 1, ..vit.clone() });
    refuse(ClipConfig { vision: shallower, ..config.clone() }, "extra-tensor", "hold vision_model.encoder.layers.1.");
    let deeper = VisionConfig::Vit(VitConfig { layers: 9, ..vit });
    refuse(ClipConfig { vision: deeper, ..config.clone() }, "missing-tensor", "vision_model.encoder.layers.2.");
    refuse(
        ClipConfig { embed_dim: 41, ..config },
        "shape-mismatch",
        "visual_projection.weight: expected [41, 64], got [40, 64]",
    );
    let twice = open(&[file, file], &text("models/clip-quickgelu-p8/hf/config.json"), Towers::Both).unwrap_err();
    assert!(twice.to_string().contains("two files hold the tensor"), "{twice}");
}

#[test]
fn nan_in_weights_gives_a_warning() {
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
