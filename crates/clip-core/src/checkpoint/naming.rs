//! Our parameter paths to the names of one checkpoint, by the tables of `layout.rs`.

use super::key_mapping::KeyMapping;
use super::layout::{BLOCK, Layout, MCI, PARTS, RESNET, Row, SIGLIP, SIGLIP_TEXT, TEXT, VIT};
use crate::config::{ClipConfig, Objective, VisionConfig};
use crate::error::{ClipError, Result};
use crate::model::Towers;

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
            let mapping = KeyMapping::parse(named);
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
        KeyMapping::parse(&name).prefixed(if hf { "" } else { prefix })
    }
}

/// Whether a tensor is one that modules keep beside their weights, whatever its module, or of OpenAI's, which are in the config:
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/model.py#L769>.
pub(crate) fn is_buffer(name: &str) -> bool {
    ["position_ids", "num_batches_tracked", "attn_mask"].iter().any(|buffer| name.ends_with(buffer))
        || ["input_resolution", "context_length", "vocab_size"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

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
