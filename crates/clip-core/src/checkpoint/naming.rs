//! Maps our parameter paths to the names of one checkpoint, by the tables of `layout.rs`.

use super::key_mapping::KeyMapping;
use super::layout::{BLOCK, Layout, MCI, PARTS, RESNET, Row, SIGLIP, SIGLIP_TEXT, TEXT, VIT};
use crate::config::{ClipConfig, Objective, VisionConfig};
use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Path segments that wrappers of a model insert: `torch.compile`, `DataParallel` and FSDP, activation checkpointing.
const WRAPPERS: [&str; 5] =
    ["module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Attribute names under which other classes hold the model. Transformers strips the first two.
const BASE_PREFIXES: [&str; 3] = ["clip.", "siglip.", "model."];

/// Strips what wrappers added to a tensor's name. <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/factory.py#L176>
/// strips `module.`, transformers the prefix of the base model.
pub(crate) fn unwrapped(name: &str) -> String {
    let segments: Vec<&str> = name.split('.').filter(|segment| !WRAPPERS.contains(segment)).collect();
    let name = segments.join(".");
    BASE_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).map_or(name.clone(), Into::into)
}

/// Naming scheme of one checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    layout: Layout,
    config: &'a ClipConfig,
    /// OpenCLIP's prefix of the text tower: `text.` in `CustomTextCLIP`, empty in `CLIP`.
    text_prefix: &'static str,
}

impl<'a> Naming<'a> {
    /// The scheme in which a model is saved.
    ///
    /// # Errors
    /// `invalid-option` if the layout has no class for the model.
    pub(crate) fn new(layout: Layout, config: &'a ClipConfig) -> Result<Self> {
        if layout == Layout::Hf {
            config.to_hf_json()?; // an error if transformers has no class for it
        }
        let custom = matches!(config.vision, VisionConfig::Siglip(_) | VisionConfig::Mci(_));
        Ok(Self { layout, config, text_prefix: if custom { "text." } else { "" } })
    }

    /// Detects the layout of a checkpoint by names that only it has.
    ///
    /// # Errors
    /// `invalid-checkpoint` if no name is known.
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
                    first.map_or("no tensors".into(), |name| format!("{name:?} and others"))
                ),
            });
        };
        Ok(Self { layout, config, text_prefix })
    }

    /// Whether a tensor belongs to one of the `towers` and is not a buffer.
    pub(crate) fn is_of(&self, name: &str, towers: Towers) -> bool {
        if is_buffer(name) {
            return false;
        }
        let image = name.starts_with("vision_model.") || name.starts_with("visual.");
        let text = ["text_model.", "text.", "transformer.resblocks."].iter().any(|prefix| name.starts_with(prefix));
        (image && towers.image()) || (text && towers.text())
    }

    /// Whether the layout is OpenCLIP's.
    pub(crate) fn is_open_clip(&self) -> bool {
        self.layout == Layout::OpenClip
    }

    /// Mapping of one of our parameters.
    pub(crate) fn mapping(&self, path: &str) -> KeyMapping {
        match path.split_once('.') {
            Some(("visual", rest)) => {
                // the first segment is the enum variant of the architecture
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
                // a split table is one tensor in the checkpoint
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
        // a name that is empty or ends with a dot is a prefix
        let of_row = |row: &Row| -> Option<String> {
            let name = if hf { row.1 } else { row.2 };
            let rest = path.strip_prefix(row.0)?;
            let is_prefix = row.0.is_empty() || row.0.ends_with('.');
            (rest.is_empty() || is_prefix).then(|| format!("{name}{rest}"))
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

/// Whether a tensor is a module's buffer, or one of the scalars of OpenAI's checkpoints that repeat the config:
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/model.py#L769>.
pub(crate) fn is_buffer(name: &str) -> bool {
    ["position_ids", "num_batches_tracked", "attn_mask"].iter().any(|buffer| name.ends_with(buffer))
        || ["input_resolution", "context_length", "vocab_size"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_stripped_from_names() {
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
