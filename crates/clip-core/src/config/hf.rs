//! Hugging Face's `config.json` of `CLIPModel` and `SiglipModel`.

use serde_json::{Value, json};

use super::fields::Fields;
use super::{
    Activation, ClipConfig, LOGIT_SCALE_INIT, Objective, TextConfig, TextPooling, VisionConfig, VitConfig, invalid,
};
use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Name of a field of [`ClipConfig`] in this format.
pub(super) fn field_name(ours: &str) -> String {
    let Some((tower, field)) = ours.split_once('.') else { return "projection_dim".into() };
    let field = match field {
        "imageSize" => "image_size",
        "patchSize" => "patch_size",
        "contextLength" => "max_position_embeddings",
        "vocabSize" => "vocab_size",
        "width" => "hidden_size",
        "layers" => "num_hidden_layers",
        "heads" => "num_attention_heads",
        "mlpWidth" => "intermediate_size",
        "layerNormEps" => "layer_norm_eps",
        "pooling" => "eos_token_id",
        other => other,
    };
    format!("{tower}_config.{field}")
}

/// Reads a config. Defaults are those of transformers' `CLIPConfig` and `SiglipConfig`.
pub(super) fn read(value: &Value) -> Result<(ClipConfig, Towers)> {
    let (value, towers) = &of_one_tower(value).unwrap_or_else(|| (with_early_fields(value), Towers::Both));
    let root = Fields::root(value);
    let (vision, text) = (root.object("vision_config")?, root.object("text_config")?);
    let config = match root.str("model_type")?.unwrap_or("clip") {
        "clip" => clip(&root, &vision, &text),
        "siglip" => siglip(&vision, &text),
        other => {
            let expected = "\"clip\" or \"siglip\", or one tower of them such as \"clip_vision_model\"";
            Err(invalid("model_type", expected, format!("{other:?}")))
        }
    }?;
    Ok((config, *towers))
}

/// Completes the config of a single tower with a minimal other tower; `None` for any other config.
fn of_one_tower(value: &Value) -> Option<(Value, Towers)> {
    let (family, towers) = match value.get("model_type")?.as_str()? {
        "clip_vision_model" => ("clip", Towers::Image),
        "clip_text_model" => ("clip", Towers::Text),
        "siglip_vision_model" => ("siglip", Towers::Image),
        "siglip_text_model" => ("siglip", Towers::Text),
        _ => return None,
    };
    let first = |keys: [&str; 2], default: u64| {
        keys.iter().find_map(|key| value.get(key).filter(|v| !v.is_null()).cloned()).unwrap_or_else(|| default.into())
    };
    let other = match (family, towers) {
        ("siglip", Towers::Image) => json!({"projection_size": first(["hidden_size"; 2], 768)}),
        ("siglip", _) => {
            json!({"hidden_size": first(["projection_size", "hidden_size"], 768), "num_attention_heads": 1})
        }
        _ => json!({}),
    };
    let (vision, text) = if towers == Towers::Image { (value.clone(), other) } else { (other, value.clone()) };
    Some((json!({"model_type": family, "vision_config": vision, "text_config": text}), towers))
}

/// Width of the shared space: that of the root, as in transformers, else that of the towers, else 512.
fn projection_dim(root: &Fields<'_>, vision: &Fields<'_>, text: &Fields<'_>) -> Result<usize> {
    let of = |fields: &Fields<'_>| -> Result<Option<usize>> {
        Ok(match fields.get("projection_dim") {
            Some(_) => Some(fields.usize("projection_dim", 0)?),
            None => None,
        })
    };
    match (of(root)?, of(vision)?, of(text)?) {
        (Some(dim), _, _) => Ok(dim),
        (None, Some(vision), Some(text)) if vision != text => {
            let got = format!("{vision} in vision_config and {text} in text_config");
            Err(invalid("projection_dim", "one width of the shared space", got))
        }
        (None, vision, text) => Ok(vision.or(text).unwrap_or(512)),
    }
}

/// Applies the fields under `…_config_dict`, with which early files repeat a tower's config: in transformers they take precedence.
fn with_early_fields(value: &Value) -> Value {
    let mut value = value.clone();
    for tower in ["text_config", "vision_config"] {
        let early = value.get(format!("{tower}_dict")).and_then(Value::as_object).cloned();
        if let (Some(early), Some(fields)) = (early, value.get_mut(tower).and_then(Value::as_object_mut)) {
            fields.extend(early.into_iter().filter(|(_, field)| !field.is_null()));
        }
    }
    value
}

fn activation(tower: &Fields<'_>, default: Activation) -> Result<Activation> {
    match tower.str("hidden_act")? {
        None => Ok(default),
        Some("quick_gelu") => Ok(Activation::QuickGelu),
        Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
        Some(other) => {
            let expected = "\"quick_gelu\", \"gelu\" or \"gelu_pytorch_tanh\"";
            Err(invalid(&tower.path("hidden_act"), expected, format!("{other:?}")))
        }
    }
}

fn vit(vision: &Fields<'_>, defaults: (usize, Activation, f64)) -> Result<VitConfig> {
    let (patch_size, activate, eps) = defaults;
    vision.only("num_channels", 3)?;
    Ok(VitConfig {
        image_size: vision.usize("image_size", 224)?,
        patch_size: vision.usize("patch_size", patch_size)?,
        width: vision.usize("hidden_size", 768)?,
        layers: vision.usize("num_hidden_layers", 12)?,
        heads: vision.usize("num_attention_heads", 12)?,
        mlp_width: vision.usize("intermediate_size", 3_072)?,
        activation: activation(vision, activate)?,
        layer_norm_eps: vision.f64("layer_norm_eps", eps)?,
    })
}

fn clip(root: &Fields<'_>, vision: &Fields<'_>, text: &Fields<'_>) -> Result<ClipConfig> {
    let eos = text.usize("eos_token_id", 49_407)?;
    Ok(ClipConfig {
        embed_dim: projection_dim(root, vision, text)?,
        objective: Objective::Softmax,
        vision: VisionConfig::Vit(vit(vision, (32, Activation::QuickGelu, 1e-5))?),
        text: TextConfig {
            context_length: text.usize("max_position_embeddings", 77)?,
            vocab_size: text.usize("vocab_size", 49_408)?,
            width: text.usize("hidden_size", 512)?,
            layers: text.usize("num_hidden_layers", 12)?,
            heads: text.usize("num_attention_heads", 8)?,
            mlp_width: text.usize("intermediate_size", 2_048)?,
            activation: activation(text, Activation::QuickGelu)?,
            layer_norm_eps: text.f64("layer_norm_eps", 1e-5)?,
            // Early configs say 2 for every vocabulary; transformers then pools at argmax:
            // https://github.com/huggingface/transformers/blob/v4.46.0/src/transformers/models/clip/modeling_clip.py#L1030
            pooling: match eos {
                2 => TextPooling::Argmax,
                id => TextPooling::FirstOf(
                    u32::try_from(id).map_err(|_too_large| invalid("text_config.eos_token_id", "a token id", id))?,
                ),
            },
            causal: true,
            projection_bias: false,
        },
    })
}

/// <https://github.com/huggingface/transformers/blob/v4.46.0/src/transformers/models/siglip/configuration_siglip.py>
fn siglip(vision: &Fields<'_>, text: &Fields<'_>) -> Result<ClipConfig> {
    if vision.bool("vision_use_head", true)? {
        let vision = vit(vision, (16, Activation::GeluTanh, 1e-6))?;
        let width = text.usize("hidden_size", 768)?;
        let config = ClipConfig {
            // the image tower has no projection: its width is that of the shared space
            embed_dim: vision.width,
            objective: Objective::Sigmoid,
            text: TextConfig {
                context_length: text.usize("max_position_embeddings", 64)?,
                vocab_size: text.usize("vocab_size", 32_000)?,
                width,
                layers: text.usize("num_hidden_layers", 12)?,
                heads: text.usize("num_attention_heads", 12)?,
                mlp_width: text.usize("intermediate_size", 3_072)?,
                activation: activation(text, Activation::GeluTanh)?,
                layer_norm_eps: text.f64("layer_norm_eps", 1e-6)?,
                pooling: TextPooling::Last,
                causal: false,
                projection_bias: true,
            },
            vision: VisionConfig::Siglip(vision),
        };
        let projection = text.usize("projection_size", width)?;
        if projection != config.embed_dim {
            let expected = format!("the image tower's width {}", config.embed_dim);
            return Err(invalid("text_config.projection_size", expected, projection));
        }
        return Ok(config);
    }
    Err(invalid("vision_config.vision_use_head", "true", false))
}

/// Writes the `config.json` from which transformers builds the same model.
///
/// # Errors
/// `invalid-option` for a tower that transformers lacks.
pub(super) fn write(config: &ClipConfig) -> Result<String> {
    let activation = |a| match a {
        Activation::QuickGelu => "quick_gelu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    };
    let t = &config.text;
    let (family, v) = match &config.vision {
        VisionConfig::Vit(v) if t.causal && config.objective == Objective::Softmax => ("clip", v),
        VisionConfig::Siglip(v) if !t.causal && config.objective == Objective::Sigmoid => ("siglip", v),
        _ => return Err(ClipError::no_hf_layout()),
    };
    let end = t.vocab_size.saturating_sub(1);
    let eos = match t.pooling {
        TextPooling::Argmax => 2,
        TextPooling::FirstOf(id) => id,
        TextPooling::Last => 1,
    };
    let clip = family == "clip";
    let mut json = json!({
        "architectures": [if clip { "CLIPModel" } else { "SiglipModel" }],
        "model_type": family,
        "torch_dtype": "float32",
        "vision_config": {
            "model_type": format!("{family}_vision_model"), "image_size": v.image_size, "patch_size": v.patch_size,
            "num_channels": 3, "hidden_size": v.width, "num_hidden_layers": v.layers,
            "num_attention_heads": v.heads, "intermediate_size": v.mlp_width,
            "hidden_act": activation(v.activation), "layer_norm_eps": v.layer_norm_eps, "attention_dropout": 0.0,
        },
        "text_config": {
            "model_type": format!("{family}_text_model"), "max_position_embeddings": t.context_length,
            "vocab_size": t.vocab_size, "hidden_size": t.width, "num_hidden_layers": t.layers,
            "num_attention_heads": t.heads, "intermediate_size": t.mlp_width,
            "hidden_act": activation(t.activation), "layer_norm_eps": t.layer_norm_eps, "attention_dropout": 0.0,
            "eos_token_id": eos,
        },
    });
    if clip {
        json["projection_dim"] = config.embed_dim.into();
        json["logit_scale_init_value"] = LOGIT_SCALE_INIT.into();
        for tower in ["vision_config", "text_config"] {
            json[tower]["projection_dim"] = config.embed_dim.into();
        }
        json["text_config"]["bos_token_id"] = end.saturating_sub(1).into();
        json["text_config"]["pad_token_id"] = end.into();
    } else {
        json["text_config"]["projection_size"] = config.embed_dim.into();
        json["text_config"]["pad_token_id"] = 1.into();
    }
    Ok(format!("{json:#}\n"))
}
