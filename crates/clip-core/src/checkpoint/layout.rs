//! Our parameter paths against the published names: one table per layout.

use crate::error::{ClipError, Result};

/// Naming scheme of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `CLIPModel` of Hugging Face transformers: query, key and value apart, linear weights `[out, in]`.
    Hf,
    /// `CLIP` of OpenCLIP: query, key and value in one, linear weights `[out, in]`, both projections `[in, out]`.
    OpenClip,
}

/// Where a parameter of ours lives in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// One key, or three (query, key, value) whose rows follow one another.
    pub(crate) keys: Vec<String>,
    /// Whether the checkpoint holds the transpose of ours.
    pub(crate) transposed: bool,
}

/// Outside the blocks: (ours, HF, OpenCLIP, transposed in HF). OpenCLIP transposes none of these.
const TOP: &[(&str, &str, &str, bool)] = &[
    ("logit_scale", "logit_scale", "logit_scale", false),
    ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight", false),
    ("visual.class_embedding", "vision_model.embeddings.class_embedding", "visual.class_embedding", false),
    (
        "visual.positional_embedding",
        "vision_model.embeddings.position_embedding.weight",
        "visual.positional_embedding",
        false,
    ),
    ("visual.ln_pre.weight", "vision_model.pre_layrnorm.weight", "visual.ln_pre.weight", false),
    ("visual.ln_pre.bias", "vision_model.pre_layrnorm.bias", "visual.ln_pre.bias", false),
    ("visual.ln_post.weight", "vision_model.post_layernorm.weight", "visual.ln_post.weight", false),
    ("visual.ln_post.bias", "vision_model.post_layernorm.bias", "visual.ln_post.bias", false),
    ("visual.proj", "visual_projection.weight", "visual.proj", true),
    ("text.token_embedding.weight", "text_model.embeddings.token_embedding.weight", "token_embedding.weight", false),
    ("text.positional_embedding", "text_model.embeddings.position_embedding.weight", "positional_embedding", false),
    ("text.ln_final.weight", "text_model.final_layer_norm.weight", "ln_final.weight", false),
    ("text.ln_final.bias", "text_model.final_layer_norm.bias", "ln_final.bias", false),
    ("text.text_projection", "text_projection.weight", "text_projection", true),
];

/// Inside a block: (ours and OpenCLIP's, HF, transposed in both). `in_proj_*` become three keys in HF.
const BLOCK: &[(&str, &str, bool)] = &[
    ("ln_1.weight", "layer_norm1.weight", false),
    ("ln_1.bias", "layer_norm1.bias", false),
    ("attn.in_proj_weight", "self_attn.{}_proj.weight", true),
    ("attn.in_proj_bias", "self_attn.{}_proj.bias", false),
    ("attn.out_proj.weight", "self_attn.out_proj.weight", true),
    ("attn.out_proj.bias", "self_attn.out_proj.bias", false),
    ("ln_2.weight", "layer_norm2.weight", false),
    ("ln_2.bias", "layer_norm2.bias", false),
    ("mlp.c_fc.weight", "mlp.fc1.weight", true),
    ("mlp.c_fc.bias", "mlp.fc1.bias", false),
    ("mlp.c_proj.weight", "mlp.fc2.weight", true),
    ("mlp.c_proj.bias", "mlp.fc2.bias", false),
];

impl Layout {
    /// `hf` or `open_clip`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "hf" => Ok(Self::Hf),
            "open_clip" => Ok(Self::OpenClip),
            got => Err(ClipError::unknown_name("layout", "hf or open_clip", got)),
        }
    }

    /// Tells the layout from one key that only it has.
    ///
    /// # Errors
    /// `invalid-checkpoint` for names of neither.
    pub fn detect<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut first = None;
        for name in names {
            match name {
                "vision_model.embeddings.patch_embedding.weight" => return Ok(Self::Hf),
                "visual.conv1.weight" => return Ok(Self::OpenClip),
                _ => first = first.or(Some(name)),
            }
        }
        Err(ClipError::InvalidCheckpoint {
            message: format!(
                "expected the tensor names of a Hugging Face CLIPModel or an OpenCLIP ViT, got {}",
                first.map_or("no tensors".into(), |name| format!("{name:?} and the like"))
            ),
        })
    }

    /// Place of one of our parameters.
    pub(crate) fn place(self, path: &str) -> Place {
        if let Some((_, hf, open_clip, transposed)) = TOP.iter().find(|row| row.0 == path) {
            return match self {
                Self::Hf => Place { keys: vec![(*hf).into()], transposed: *transposed },
                Self::OpenClip => Place { keys: vec![(*open_clip).into()], transposed: false },
            };
        }
        let (tower, rest) = path.split_once(".transformer.resblocks.").unwrap_or(("", path));
        let (block, name) = rest.split_once('.').unwrap_or(("", rest));
        let row = BLOCK.iter().find(|row| row.0 == name);
        debug_assert!(row.is_some(), "a parameter without a published name: {path}");
        let (_, hf, transposed) = *row.unwrap_or(&BLOCK[0]);
        let keys = match self {
            Self::OpenClip => {
                let prefix = if tower == "visual" { "visual." } else { "" };
                vec![format!("{prefix}transformer.resblocks.{block}.{name}")]
            }
            Self::Hf => {
                let prefix = if tower == "visual" { "vision_model" } else { "text_model" };
                let parts: &[&str] = if hf.contains("{}") { &["q", "k", "v"] } else { &[""] };
                parts.iter().map(|p| format!("{prefix}.encoder.layers.{block}.{}", hf.replace("{}", p))).collect()
            }
        };
        Place { keys, transposed }
    }
}
