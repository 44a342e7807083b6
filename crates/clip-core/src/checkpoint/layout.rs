//! Our parameter paths against the published names.

use crate::config::{ClipConfig, Objective, VisionConfig};
use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Naming scheme of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `CLIPModel` and `SiglipModel` of Hugging Face transformers: query, key and value apart, linear weights `[out, in]`.
    Hf,
    /// OpenCLIP and OpenAI: query, key and value in one, linear weights `[out, in]`, both projections `[in, out]`;
    /// SigLIP's image tower under timm's names.
    OpenClip,
}

/// Where a parameter of ours lives in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyMapping {
    /// One key, or several whose rows follow one another, with the share of the rows that each has.
    pub(crate) keys: Vec<(String, usize)>,
    /// Whether the checkpoint holds the transpose of ours.
    pub(crate) transposed: bool,
    /// How many sides of 1 the checkpoint puts before ours; -1 for a scalar where we have `[1]`.
    pub(crate) leading_ones: i8,
}

/// (ours, Hugging Face, OpenCLIP). `ᵀ` after a name: the checkpoint holds the transpose; `·` before a name: with a side of
/// 1 in front. `{q,k,v}`: one key for each.
type Row = (&'static str, &'static str, &'static str);

const VIT: &[Row] = &[
    ("conv1.weight", "vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
    ("class_embedding", "vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("positional_embedding", "vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("ln_pre.", "vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("ln_post.", "vision_model.post_layernorm.", "visual.ln_post."),
    ("proj", "visual_projection.weightᵀ", "visual.proj"),
];

const SIGLIP: &[Row] = &[
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

/// transformers has no such tower; in the others its names are ours.
const RESNET: &[Row] = &[
    ("attnpool.k_proj.weight", "", "visual.attnpool.k_proj.weightᵀ"),
    ("attnpool.q_proj.weight", "", "visual.attnpool.q_proj.weightᵀ"),
    ("attnpool.v_proj.weight", "", "visual.attnpool.v_proj.weightᵀ"),
    ("attnpool.c_proj.weight", "", "visual.attnpool.c_proj.weightᵀ"),
    ("", "", "visual."),
];

/// Steps of our paths that are named otherwise: PyTorch numbers what we name, and knows no variants of an enum.
const PARTS: &[(&str, &str)] = &[
    (".downsample.conv.", ".downsample.0."),
    (".downsample.bn.", ".downsample.1."),
    (".RepMixer.", "."),
    (".Attention.", "."),
    (".Batch.", "."),
    (".Layer.", "."),
];

/// The same, in timm's trunk.
const MCI: &[Row] = &[("", "", "visual.trunk.")];

const TEXT: &[Row] = &[
    ("token_embedding.", "text_model.embeddings.token_embedding.", "token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("ln_final.", "text_model.final_layer_norm.", "ln_final."),
    ("text_projection", "text_projection.weightᵀ", "text_projection"),
];

const SIGLIP_TEXT: &[Row] = &[
    ("token_embedding.", "text_model.embeddings.token_embedding.", "token_embedding."),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("ln_final.", "text_model.final_layer_norm.", "ln_final."),
    ("text_projection_bias", "text_model.head.bias", "text_projection.bias"),
    ("text_projection", "text_model.head.weightᵀ", "text_projection.weightᵀ"),
];

/// Inside a block: (ours and OpenCLIP's, Hugging Face, timm); `ᵀ` holds for all three columns.
const BLOCK: &[Row] = &[
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

/// Steps that wrappers of a model put into the names of its tensors: `torch.compile`, data parallelism in its kinds,
/// checkpointing.
const WRAPPERS: [&str; 5] =
    ["module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Names of the attribute that holds the model in the classes round it. Transformers strips the first two.
const HOLDERS: [&str; 3] = ["clip.", "siglip.", "model."];

/// A tensor's name as the model itself has it: <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/factory.py#L176>
/// strips `module.`, transformers the name of the base model.
pub(crate) fn unwrapped(name: &str) -> String {
    let steps: Vec<&str> = name.split('.').filter(|step| !WRAPPERS.contains(step)).collect();
    let name = steps.join(".");
    HOLDERS.iter().find_map(|holder| name.strip_prefix(holder)).map_or(name.clone(), Into::into)
}

/// Names of one checkpoint: its layout, and what of it depends on the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    layout: Layout,
    config: &'a ClipConfig,
    /// Where OpenCLIP keeps the text tower: `text.` in its `CustomTextCLIP`, nothing in its `CLIP`.
    text_prefix: &'static str,
}

impl<'a> Naming<'a> {
    /// How a model is written.
    ///
    /// # Errors
    /// `invalid-option` for a model that the layout does not have.
    pub(crate) fn new(layout: Layout, config: &'a ClipConfig) -> Result<Self> {
        if layout == Layout::Hf {
            config.to_hf_json()?; // refuses what transformers has no class for
        }
        let custom = matches!(config.vision, VisionConfig::Siglip(_) | VisionConfig::Mci(_));
        Ok(Self { layout, config, text_prefix: if custom { "text." } else { "" } })
    }

    /// Tells the layout of a checkpoint from names that only it has.
    ///
    /// # Errors
    /// `invalid-checkpoint` for names of no layout.
    pub(crate) fn detect<'b>(config: &'a ClipConfig, names: impl Iterator<Item = &'b str>) -> Result<Self> {
        let mut first: Option<&str> = None;
        let mut layout = None;
        let mut text_prefix = "";
        for name in names {
            if name.starts_with("vision_model.") || name.starts_with("text_model.") {
                layout = Some(Layout::Hf);
            } else if name.starts_with("visual.") || name.starts_with("transformer.resblocks.") {
                layout = layout.or(Some(Layout::OpenClip));
            } else if name.starts_with("text.") {
                (layout, text_prefix) = (layout.or(Some(Layout::OpenClip)), "text.");
            }
            // the smallest, so that the message does not depend on the order of a map
            first = Some(first.map_or(name, |f| f.min(name)));
        }
        let Some(layout) = layout else {
            return Err(ClipError::InvalidCheckpoint {
                message: format!(
                    "expected the tensor names of a Hugging Face CLIPModel or SiglipModel, or of OpenCLIP or OpenAI, got {}",
                    first.map_or("no tensors".into(), |name| format!("{name:?} and the like"))
                ),
            });
        };
        Ok(Self { layout, config, text_prefix })
    }

    /// Whether a name belongs to a tower that is loaded, and says something of its shape. The rest is nobody's business:
    /// buffers, counters, another tower's tensors.
    pub(crate) fn is_of(&self, name: &str, towers: Towers) -> bool {
        if is_buffer(name) {
            return false;
        }
        let image = name.starts_with("vision_model.") || name.starts_with("visual.");
        let text = ["text_model.", "text.", "transformer.resblocks."].iter().any(|prefix| name.starts_with(prefix));
        (image && towers.image()) || (text && towers.text())
    }

    /// Whether names are OpenCLIP's.
    pub(crate) fn is_open_clip(&self) -> bool {
        self.layout == Layout::OpenClip
    }

    /// KeyMapping of one of our parameters.
    pub(crate) fn mapping(&self, path: &str) -> KeyMapping {
        match path.split_once('.') {
            Some(("visual", rest)) => {
                // the name of the architecture's variant is a step of the path
                let rest = rest.split_once('.').map_or(rest, |(_, rest)| rest);
                let (top, hf, open_clip): (&[Row], _, _) = match self.config.vision {
                    VisionConfig::Vit(_) => (VIT, "vision_model.encoder.layers", "visual.transformer.resblocks"),
                    VisionConfig::Siglip(_) => (SIGLIP, "vision_model.encoder.layers", "visual.trunk.blocks"),
                    VisionConfig::Resnet(_) => (RESNET, "", ""),
                    VisionConfig::Mci(_) => (MCI, "", ""),
                };
                self.tower_mapping(rest, top, [hf, open_clip], "")
            }
            Some(("text", rest)) => {
                // tables that were cut are one in the checkpoint
                let rest = if rest.starts_with("token_embedding.rest.") { "token_embedding.weight" } else { rest };
                let top = if self.config.text.projection_bias { SIGLIP_TEXT } else { TEXT };
                self.tower_mapping(rest, top, ["text_model.encoder.layers", "transformer.resblocks"], self.text_prefix)
            }
            _ => {
                // [1] in SiglipModel, [] elsewhere
                let scalar = self.layout == Layout::OpenClip || self.config.objective == Objective::Softmax;
                KeyMapping {
                    keys: vec![(path.into(), 1)],
                    transposed: false,
                    leading_ones: if scalar { -1 } else { 0 },
                }
            }
        }
    }

    fn tower_mapping(
        &self,
        path: &str,
        top: &[Row],
        [hf_blocks, open_clip_blocks]: [&str; 2],
        prefix: &str,
    ) -> KeyMapping {
        let hf = self.layout == Layout::Hf;
        if let Some((block, name)) = path.strip_prefix("transformer.resblocks.").and_then(|p| p.split_once('.')) {
            let row = BLOCK.iter().find(|row| row.0 == name);
            debug_assert!(row.is_some(), "a parameter without a published name: {path}");
            let (ours, hf_name, timm) = *row.unwrap_or(&BLOCK[0]);
            let in_timm = open_clip_blocks.contains("trunk");
            let named = if hf { hf_name } else { timm };
            let mapping = expand(named);
            if hf || in_timm {
                let blocks = if hf { hf_blocks } else { open_clip_blocks };
                return mapping.prefixed(&format!("{blocks}.{block}."));
            }
            return KeyMapping { keys: vec![(format!("{prefix}{open_clip_blocks}.{block}.{ours}"), 1)], ..mapping };
        }
        // a row whose name ends with a dot, or is empty, stands for all that start so
        let of_row = |row: &Row| -> Option<String> {
            let name = if hf { row.1 } else { row.2 };
            let rest = path.strip_prefix(row.0)?;
            let open = row.0.is_empty() || row.0.ends_with('.');
            (rest.is_empty() || open).then(|| format!("{name}{rest}"))
        };
        let name = top.iter().find_map(of_row);
        debug_assert!(name.is_some(), "a parameter without a published name: {path}");
        let mut name = name.unwrap_or_default();
        for (ours, published) in PARTS {
            name = name.replace(ours, published);
        }
        expand(&name).prefixed(if hf { "" } else { prefix })
    }
}

/// Whether a tensor is one that modules keep beside their weights, whatever its module, or of OpenAI's, which are in the config:
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/model.py#L769>.
pub(crate) fn is_buffer(name: &str) -> bool {
    ["position_ids", "num_batches_tracked", "attn_mask"].iter().any(|buffer| name.ends_with(buffer))
        || ["input_resolution", "context_length", "vocab_size"].contains(&name)
}

impl KeyMapping {
    fn prefixed(mut self, prefix: &str) -> Self {
        for (key, _) in &mut self.keys {
            key.insert_str(0, prefix);
        }
        self
    }

    /// The checkpoint's shape of key `index`, for a parameter of ours of `shape`.
    pub(crate) fn expected_shape(&self, index: usize, shape: &[usize]) -> Vec<usize> {
        let mut expected = shape.to_vec();
        if self.transposed {
            expected.reverse();
        }
        let parts: usize = self.keys.iter().map(|(_, share)| share).sum();
        expected[0] = expected[0] / parts * self.keys[index].1;
        match usize::try_from(self.leading_ones) {
            Ok(sides) => expected.splice(0..0, vec![1; sides]).for_each(drop),
            Err(_scalar) => expected.clear(),
        }
        expected
    }
}

/// Reads a name of the tables.
fn expand(name: &str) -> KeyMapping {
    let leading_ones = name.chars().take_while(|&c| c == '·').count();
    let name = name.trim_start_matches('·');
    let transposed = name.ends_with('ᵀ');
    let name = name.trim_end_matches('ᵀ');
    let keys = match name.split_once('{').and_then(|(a, rest)| rest.split_once('}').map(|(list, b)| (a, list, b))) {
        // `kv` has the rows of two
        Some((before, list, after)) => {
            list.split(',').map(|part| (format!("{before}{part}{after}"), part.len())).collect()
        }
        None => vec![(name.to_owned(), 1)],
    };
    KeyMapping { keys, transposed, leading_ones: leading_ones as i8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_tables_is_read() {
        let mapping = expand("a.{q,kv}.weightᵀ");
        assert_eq!(mapping.keys, [("a.q.weight".into(), 1), ("a.kv.weight".into(), 2)]);
        assert_eq!(
            (mapping.expected_shape(0, &[4, 12]), mapping.expected_shape(1, &[4, 12])),
            (vec![4, 4], vec![8, 4])
        );
        assert_eq!(expand("··latent").expected_shape(0, &[5]), [1, 1, 5]);
    }

    #[test]
    fn wrappers_leave_no_trace_in_names() {
        for (name, expected) in [
            ("visual.proj", "visual.proj"),
            ("module.visual.proj", "visual.proj"),
            ("_orig_mod.module.visual.proj", "visual.proj"),
            ("module._orig_mod.clip.logit_scale", "logit_scale"),
            ("visual._orig_mod.proj", "visual.proj"),
            ("model.vision_model.post_layernorm.weight", "vision_model.post_layernorm.weight"),
            ("modules.visual.proj", "modules.visual.proj"),
        ] {
            assert_eq!(unwrapped(name), expected);
        }
    }
}
