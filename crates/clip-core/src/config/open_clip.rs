//! `open_clip_config.json`, or the `model_cfg` inside it: <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/model.py>.

use serde_json::Value;

use super::fields::Fields;
use super::{
    Activation, ClipConfig, MciConfig, Objective, ResNetConfig, TextConfig, TextPooling, VisionConfig, VitConfig,
    invalid,
};
use crate::error::Result;

/// Epsilon of the layer norms of SigLIP's image towers.
const SIGLIP_EPS: f64 = 1e-6;

/// SigLIP's image towers as timm registers them: name, patch, width, layers, heads, MLP width, tanh GELU
/// (<https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/vision_transformer.py>). OpenCLIP's
/// configs give only the name.
#[rustfmt::skip]
const SIGLIP_TRUNKS: &[(&str, usize, usize, usize, usize, usize, bool)] = &[
    ("vit_base_patch32_siglip_256", 32, 768, 12, 12, 3_072, true),
    ("vit_base_patch16_siglip_224", 16, 768, 12, 12, 3_072, false),
    ("vit_base_patch16_siglip_256", 16, 768, 12, 12, 3_072, false),
    ("vit_base_patch16_siglip_384", 16, 768, 12, 12, 3_072, false),
    ("vit_base_patch16_siglip_512", 16, 768, 12, 12, 3_072, false),
    ("vit_large_patch16_siglip_256", 16, 1_024, 24, 16, 4_096, false),
    ("vit_large_patch16_siglip_384", 16, 1_024, 24, 16, 4_096, false),
    ("vit_large_patch16_siglip_512", 16, 1_024, 24, 16, 4_096, true),
    ("vit_so400m_patch14_siglip_224", 14, 1_152, 27, 16, 4_304, false),
    ("vit_so400m_patch14_siglip_378", 14, 1_152, 27, 16, 4_304, false),
    ("vit_so400m_patch14_siglip_384", 14, 1_152, 27, 16, 4_304, false),
    ("vit_so400m_patch16_siglip_256", 16, 1_152, 27, 16, 4_304, true),
    ("vit_so400m_patch16_siglip_384", 16, 1_152, 27, 16, 4_304, true),
    ("vit_so400m_patch16_siglip_512", 16, 1_152, 27, 16, 4_304, true),
    ("vit_giantopt_patch16_siglip_256", 16, 1_536, 40, 16, 6_144, true),
    ("vit_giantopt_patch16_siglip_384", 16, 1_536, 40, 16, 6_144, true),
];

/// Reads a config. Options of unsupported architectures are refused by name.
pub(super) fn read(value: &Value) -> Result<ClipConfig> {
    let root = Fields::root(value.get("model_cfg").unwrap_or(value));
    let (vision, text) = (root.object("vision_cfg")?, root.object("text_cfg")?);
    if root.get("multimodal_cfg").is_some() {
        return Err(invalid("multimodal_cfg", "no value: CoCa is not supported", "an object"));
    }
    let activation = if root.bool("quick_gelu", false)? { Activation::QuickGelu } else { Activation::Gelu };
    let sigmoid = root.get("init_logit_bias").is_some();
    let embed_dim = root.usize("embed_dim", 512)?;
    Ok(ClipConfig {
        embed_dim,
        objective: if sigmoid { Objective::Sigmoid } else { Objective::Softmax },
        vision: read_vision(&vision, activation)?,
        text: read_text(&text, activation)?,
    })
}

/// Name of a field of [`ClipConfig`] in this format.
pub(super) fn field_name(ours: &str) -> String {
    let Some((tower, field)) = ours.split_once('.') else { return "embed_dim".into() };
    let field = match field {
        "imageSize" => "image_size",
        "patchSize" => "patch_size",
        "contextLength" => "context_length",
        "vocabSize" => "vocab_size",
        "mlpWidth" => "mlp_ratio",
        "layerNormEps" => "norm_kwargs.eps",
        "pooling" => "eos_id",
        other => other,
    };
    format!("{tower}_cfg.{field}")
}

/// Epsilon and activation by `norm_kwargs` and `act_kwargs`, with their defaults.
fn norm_and_act(tower: &Fields<'_>, eps: f64, activation: Activation) -> Result<(f64, Activation)> {
    let eps = tower.object("norm_kwargs")?.f64("eps", eps)?;
    let act = tower.object("act_kwargs")?;
    Ok((
        eps,
        match act.str("approximate")? {
            None | Some("none") => activation,
            Some("tanh") => Activation::GeluTanh,
            Some(other) => return Err(invalid(&act.path("approximate"), "\"tanh\" or \"none\"", format!("{other:?}"))),
        },
    ))
}

/// Refuses options that change the architecture, none of which a published CLIP or SigLIP uses.
fn refuse_variants(tower: &Fields<'_>) -> Result<()> {
    for key in ["qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"] {
        tower.only(key, false)?;
    }
    tower.only("final_ln_after_pool", false)?;
    tower.only("block_type", "default")?;
    match tower.get("ls_init_value") {
        None => Ok(()),
        Some(value) => Err(invalid(&tower.path("ls_init_value"), "no value: layer scale is not supported", value)),
    }
}

/// `int(width * ratio)`, as in OpenCLIP.
fn mlp_width(tower: &Fields<'_>, width: usize) -> Result<usize> {
    Ok((width as f64 * tower.f64("mlp_ratio", 4.0)?) as usize)
}

fn heads(tower: &Fields<'_>, total: usize) -> Result<usize> {
    let each = tower.usize("head_width", 64)?;
    if each == 0 || !total.is_multiple_of(each) {
        return Err(invalid(&tower.path("head_width"), format!("a divisor of {total}"), each));
    }
    Ok(total / each)
}

fn read_vision(vision: &Fields<'_>, activation: Activation) -> Result<VisionConfig> {
    let image_size = match vision.get("image_size").and_then(Value::as_array).map(Vec::as_slice) {
        Some([height, width]) if height == width => {
            height.as_u64().map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX))
        }
        Some(_) => return Err(invalid(&vision.path("image_size"), "a square", "two sizes")),
        None => vision.usize("image_size", 224)?,
    };
    if let Some(name) = vision.str("timm_model_name")? {
        if let Some(mci) = mci(name, image_size) {
            vision.only("timm_pool", "avg")?;
            vision.only("timm_proj", "")?;
            return Ok(VisionConfig::Mci(mci));
        }
        return read_timm(vision, name, image_size).map(VisionConfig::Siglip);
    }
    refuse_variants(vision)?;
    if let Some(stages) = vision.get("layers").and_then(Value::as_array) {
        let stages: Option<Vec<usize>> =
            stages.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect();
        let layers = stages.and_then(|s| <[usize; 4]>::try_from(s).ok());
        let width = vision.usize("width", 64)?;
        return Ok(VisionConfig::Resnet(ResNetConfig {
            image_size,
            width,
            layers: layers.ok_or_else(|| invalid(&vision.path("layers"), "four whole numbers", "another array"))?,
            heads: heads(vision, width.saturating_mul(32))?,
        }));
    }
    for (key, wanted) in [("attentional_pool", Value::from(false)), ("no_ln_pre", false.into())] {
        vision.only(key, wanted)?;
    }
    vision.only("pool_type", "tok")?;
    vision.only("pos_embed_type", "learnable")?;
    vit(vision, image_size, 1e-5, activation).map(VisionConfig::Vit)
}

/// Reads a Vision Transformer whose sizes are in the config.
fn vit(vision: &Fields<'_>, image_size: usize, eps: f64, activation: Activation) -> Result<VitConfig> {
    let width = vision.usize("width", 768)?;
    let (layer_norm_eps, activation) = norm_and_act(vision, eps, activation)?;
    Ok(VitConfig {
        image_size,
        patch_size: vision.usize("patch_size", 16)?,
        width,
        layers: vision.usize("layers", 12)?,
        heads: heads(vision, width)?,
        mlp_width: mlp_width(vision, width)?,
        activation,
        layer_norm_eps,
    })
}

/// MobileCLIP's image towers as timm registers them
/// (<https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/fastvit.py>).
fn mci(name: &str, image_size: usize) -> Option<MciConfig> {
    let (layers, first, large): (&[usize], usize, bool) = match name {
        "fastvit_mci0" => (&[2, 6, 10, 2], 64, false),
        "fastvit_mci1" => (&[4, 12, 20, 4], 64, false),
        "fastvit_mci2" => (&[4, 12, 24, 4], 80, false),
        "fastvit_mci3" => (&[2, 12, 24, 4, 2], 96, true),
        "fastvit_mci4" => (&[2, 12, 24, 4, 4], 128, true),
        _ => return None,
    };
    Some(MciConfig {
        image_size,
        layers: layers.to_vec(),
        widths: (0..layers.len()).map(|stage| first << stage).collect(),
        mlp_ratio: if large { 4 } else { 3 },
        attention_stages: if large { 2 } else { 1 },
        squeeze_stages: if large { 0 } else { 2 },
        layer_norm: large,
        stem_scale: !large,
    })
}

/// Reads a SigLIP trunk: by its registered name, or by the sizes beside an unregistered one.
fn read_timm(vision: &Fields<'_>, name: &str, image_size: usize) -> Result<VitConfig> {
    vision.only("timm_pool", "map")?;
    vision.only("timm_proj", "none")?;
    if let Some(&(_, patch_size, width, layers, heads, mlp_width, tanh)) =
        SIGLIP_TRUNKS.iter().find(|row| row.0 == name)
    {
        let activation = if tanh { Activation::GeluTanh } else { Activation::Gelu };
        return Ok(VitConfig {
            image_size,
            patch_size,
            width,
            layers,
            heads,
            mlp_width,
            activation,
            layer_norm_eps: SIGLIP_EPS,
        });
    }
    if vision.get("width").is_none() || vision.get("head_width").is_none() {
        let expected =
            "the name of a SigLIP or MCi tower, or patch_size, width, layers, head_width and mlp_ratio beside it";
        return Err(invalid(&vision.path("timm_model_name"), expected, format!("{name:?}")));
    }
    vit(vision, image_size, SIGLIP_EPS, Activation::Gelu)
}

fn read_text(text: &Fields<'_>, activation: Activation) -> Result<TextConfig> {
    refuse_variants(text)?;
    if let Some(name) = text.str("hf_model_name")? {
        return Err(invalid(
            &text.path("hf_model_name"),
            "no value: only CLIP's text Transformer is supported",
            format!("{name:?}"),
        ));
    }
    text.only("embed_cls", false)?;
    text.only("proj_type", "linear")?;
    let width = text.usize("width", 512)?;
    let (layer_norm_eps, activation) = norm_and_act(text, 1e-5, activation)?;
    let pooling = match text.str("pool_type")?.unwrap_or("argmax") {
        "argmax" => TextPooling::Argmax,
        "last" => TextPooling::Last,
        "eos" => {
            let id = text.usize("eos_id", 2)?;
            TextPooling::FirstOf(
                u32::try_from(id).map_err(|_too_large| invalid(&text.path("eos_id"), "a token id", id))?,
            )
        }
        other => {
            return Err(invalid(&text.path("pool_type"), "\"argmax\", \"eos\" or \"last\"", format!("{other:?}")));
        }
    };
    Ok(TextConfig {
        context_length: text.usize("context_length", 77)?,
        vocab_size: text.usize("vocab_size", 49_408)?,
        width,
        layers: text.usize("layers", 12)?,
        heads: text.usize("heads", 8)?,
        mlp_width: mlp_width(text, width)?,
        activation,
        layer_norm_eps,
        pooling,
        causal: !text.bool("no_causal_mask", false)?,
        projection_bias: text.bool("proj_bias", false)?,
    })
}
