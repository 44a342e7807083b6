//! Layouts of checkpoints: tables from our parameter paths to the published names.

use crate::error::{ClipError, Result};

/// Naming scheme of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `CLIPModel` and `SiglipModel` of Hugging Face transformers: separate query, key and value; linear weights `[out, in]`.
    Hf,
    /// OpenCLIP and OpenAI: query, key and value in one tensor; linear weights `[out, in]`, both projections `[in, out]`;
    /// SigLIP's image tower with timm's names.
    OpenClip,
}

/// (ours, Hugging Face, OpenCLIP). `ᵀ` after a name: the checkpoint stores the transpose. Each `·` before a name: a leading
/// dimension of 1. `{q,k,v}`: one key each. A name that is empty or ends with a dot is a prefix.
pub(super) type Row = (&'static str, &'static str, &'static str);

pub(super) const VIT: &[Row] = &[
    ("conv1.weight", "vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
    ("class_embedding", "vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("ln_pre.", "vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("ln_post.", "vision_model.post_layernorm.", "visual.ln_post."),
    ("proj", "visual_projection.weightᵀ", "visual.proj"),
];

pub(super) const SIGLIP: &[Row] = &[
    ("conv1.", "vision_model.embeddings.patch_embedding.", "visual.trunk.patch_embed.proj."),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight", "·visual.trunk.pos_embed"),
    ("ln_post.", "vision_model.post_layernorm.", "visual.trunk.norm."),
    ("head.probe", "··vision_model.head.probe", "··visual.trunk.attn_pool.latent"),
    ("head.in_proj_weight", "vision_model.head.attention.in_proj_weightᵀ", "visual.trunk.attn_pool.{q,kv}.weightᵀ"),
    ("head.in_proj_bias", "vision_model.head.attention.in_proj_bias", "visual.trunk.attn_pool.{q,kv}.bias"),
    ("head.out_proj.weight", "vision_model.head.attention.out_proj.weightᵀ", "visual.trunk.attn_pool.proj.weightᵀ"),
    ("head.out_proj.bias", "vision_model.head.attention.out_proj.bias", "visual.trunk.attn_pool.proj.bias"),
    ("head.layernorm.", "vision_model.head.layernorm.", "visual.trunk.attn_pool.norm."),
    ("head.mlp.c_fc.weight", "vision_model.head.mlp.fc1.weightᵀ", "visual.trunk.attn_pool.mlp.fc1.weightᵀ"),
    ("head.mlp.c_fc.bias", "vision_model.head.mlp.fc1.bias", "visual.trunk.attn_pool.mlp.fc1.bias"),
    ("head.mlp.c_proj.weight", "vision_model.head.mlp.fc2.weightᵀ", "visual.trunk.attn_pool.mlp.fc2.weightᵀ"),
    ("head.mlp.c_proj.bias", "vision_model.head.mlp.fc2.bias", "visual.trunk.attn_pool.mlp.fc2.bias"),
];

/// transformers has no such tower; OpenCLIP's names are ours.
pub(super) const RESNET: &[Row] = &[
    ("attnpool.k_proj.weight", "", "visual.attnpool.k_proj.weightᵀ"),
    ("attnpool.q_proj.weight", "", "visual.attnpool.q_proj.weightᵀ"),
    ("attnpool.v_proj.weight", "", "visual.attnpool.v_proj.weightᵀ"),
    ("attnpool.c_proj.weight", "", "visual.attnpool.c_proj.weightᵀ"),
    ("", "", "visual."),
];

/// Path segments to replace: PyTorch numbers modules that we name, and has no enum variants.
pub(super) const PARTS: &[(&str, &str)] = &[
    (".downsample.conv.", ".downsample.0."),
    (".downsample.bn.", ".downsample.1."),
    (".RepMixer.", "."),
    (".Attention.", "."),
    (".Batch.", "."),
    (".Layer.", "."),
];

/// The names are ours, in timm's trunk.
pub(super) const MCI: &[Row] = &[("", "", "visual.trunk.")];

pub(super) const TEXT: &[Row] = &[
    ("token_embedding.", "text_model.embeddings.token_embedding.", "token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("ln_final.", "text_model.final_layer_norm.", "ln_final."),
    ("text_projection", "text_projection.weightᵀ", "text_projection"),
];

pub(super) const SIGLIP_TEXT: &[Row] = &[
    ("token_embedding.", "text_model.embeddings.token_embedding.", "token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("ln_final.", "text_model.final_layer_norm.", "ln_final."),
    ("text_projection_bias", "text_model.head.bias", "text_projection.bias"),
    ("text_projection", "text_model.head.weightᵀ", "text_projection.weightᵀ"),
];

/// Inside a block: (ours and OpenCLIP's, Hugging Face, timm). `ᵀ` is for all three columns.
pub(super) const BLOCK: &[Row] = &[
    ("ln_1.weight", "layer_norm1.weight", "norm1.weight"),
    ("ln_1.bias", "layer_norm1.bias", "norm1.bias"),
    ("attn.in_proj_weight", "self_attn.{q,k,v}_proj.weightᵀ", "attn.qkv.weightᵀ"),
    ("attn.in_proj_bias", "self_attn.{q,k,v}_proj.bias", "attn.qkv.bias"),
    ("attn.out_proj.weight", "self_attn.out_proj.weightᵀ", "attn.proj.weightᵀ"),
    ("attn.out_proj.bias", "self_attn.out_proj.bias", "attn.proj.bias"),
    ("ln_2.weight", "layer_norm2.weight", "norm2.weight"),
    ("ln_2.bias", "layer_norm2.bias", "norm2.bias"),
    ("mlp.c_fc.weight", "mlp.fc1.weightᵀ", "mlp.fc1.weightᵀ"),
    ("mlp.c_fc.bias", "mlp.fc1.bias", "mlp.fc1.bias"),
    ("mlp.c_proj.weight", "mlp.fc2.weightᵀ", "mlp.fc2.weightᵀ"),
    ("mlp.c_proj.bias", "mlp.fc2.bias", "mlp.fc2.bias"),
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
}
