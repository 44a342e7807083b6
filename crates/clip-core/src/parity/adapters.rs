//! Models with PEFT's adapters, against PEFT.

use super::models::{inputs, open};
use super::*;
use crate::bundle::Bundle;
use crate::checkpoint::Adapter;
use crate::model::Towers;

fn open_hf(folder: &str, towers: Towers) -> Bundle {
    let file = format!("{folder}/hf/model.safetensors");
    open(&[&file], &text(&format!("models/{folder}/hf/config.json")), towers).unwrap()
}

fn adapter(folder: &str) -> Adapter {
    Adapter {
        weights: fixture(&format!("models/{folder}/peft/adapter_model.safetensors")),
        config: text(&format!("models/{folder}/peft/adapter_config.json")),
    }
}

#[test]
fn merged_adapters_give_the_outputs_of_peft() {
    for folder in ["clip-quickgelu-p8", "siglip-p16"] {
        let bundle = open_hf(folder, Towers::Both);
        let (pixels, batch) = inputs(folder, &bundle.config);
        let golden = Golden::open(&format!("models/{folder}/peft/golden.safetensors"));
        let compare = |name: &str, got: Tensor<2>, most: f32| {
            let error = max_error(&values(got), &golden.tensor(name).1);
            assert!(error <= most, "{folder} {name}: {error}");
        };
        let model = adapter(folder).merge_into(bundle.model, &bundle.config).unwrap();
        let (images, texts) = (model.encode_image(pixels.clone()).unwrap(), model.encode_text(&batch).unwrap());
        compare("image_embeds", images.clone(), 1e-5);
        compare("text_embeds", texts.clone(), 1e-5);
        compare("logits_per_image", model.logits_per_image(images, texts), 1e-4);
        // with one tower loaded, the modules of the other are skipped
        let bundle = open_hf(folder, Towers::Image);
        let model = adapter(folder).merge_into(bundle.model, &bundle.config).unwrap();
        compare("image_embeds", model.encode_image(pixels).unwrap(), 1e-5);
        let bundle = open_hf(folder, Towers::Text);
        let model = adapter(folder).merge_into(bundle.model, &bundle.config).unwrap();
        compare("text_embeds", model.encode_text(&batch).unwrap(), 1e-5);
    }
}

#[test]
fn adapters_of_another_model_are_refused() {
    let refused = |adapter: Adapter| {
        let bundle = open_hf("clip-quickgelu-p8", Towers::Both);
        adapter.merge_into(bundle.model, &bundle.config).unwrap_err()
    };
    assert_eq!(refused(adapter("siglip-p16")).code(), "shape-mismatch");
    let clip = adapter("clip-quickgelu-p8");
    let renamed = |from: &str, to: &str| {
        let at = clip.weights.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut weights = clip.weights.clone();
        weights[at..at + to.len()].copy_from_slice(to.as_bytes());
        refused(Adapter { weights, config: clip.config.clone() })
    };
    // names of the same length, so that the header's length stays
    assert_eq!(renamed("layers.1.mlp.fc1.lora_B", "layers.1.mlp.fc1.lora_C").code(), "extra-tensor");
    assert_eq!(renamed("layers.1.mlp.fc1.lora_B", "layers.7.mlp.fc1.lora_B").code(), "missing-tensor");
    assert_eq!(renamed("visual_projection.lora_A", "visual_projectiom.lora_A").code(), "missing-tensor");
    for cut in [0, 7, 100, clip.weights.len() - 1] {
        let weights = clip.weights[..cut].to_vec();
        assert_eq!(refused(Adapter { weights, config: clip.config.clone() }).code(), "invalid-checkpoint", "{cut}");
    }
    let none = Adapter { weights: b"\x02\0\0\0\0\0\0\0{}".to_vec(), config: clip.config.clone() };
    assert_eq!(refused(none).code(), "invalid-checkpoint");
}
