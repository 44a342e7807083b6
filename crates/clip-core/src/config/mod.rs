//! The config from which a CLIP is built, in clipwright's own JSON, Hugging Face's or OpenCLIP's.

mod fields;
mod format;
mod hf;
mod keys;
mod open_clip;
mod presets;
mod validate;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub(crate) use fields::{Fields, short};
pub(crate) use format::{Format, field_name};
pub(crate) use keys::unknown_keys;

use crate::error::{ClipError, Result};
use crate::model::Towers;

/// ln(1 / 0.07), the initial value of CLIP's learned temperature (arXiv 2103.00020, section 2.5).
pub const LOGIT_SCALE_INIT: f64 = 2.659_260_036_932_778;

/// Activation of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's models.
    #[default]
    QuickGelu,
    /// `x * Φ(x)`, exact: LAION's and newer models.
    Gelu,
    /// `x * Φ(x)`, approximated with tanh: SigLIP.
    GeluTanh,
}

/// Position of the text Transformer that represents the caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TextPooling {
    /// The first position of the highest id, which is that of the end token in CLIP's vocabulary.
    #[default]
    Argmax,
    /// The first position of this id.
    FirstOf(u32),
    /// The last position of the context: SigLIP.
    Last,
}

/// Training objective, which also decides how similarities become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Softmax over captions and over images: CLIP.
    #[default]
    Softmax,
    /// Sigmoid of each pair, with a learned bias: SigLIP (arXiv 2303.15343).
    Sigmoid,
}

/// Image tower, by architecture. In JSON the field `architecture` selects it; the default is `vit`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum VisionConfig {
    /// CLIP's Vision Transformer.
    Vit(VitConfig),
    /// SigLIP's: no class token, attention pooling.
    Siglip(VitConfig),
    /// CLIP's ResNet.
    Resnet(ResNetConfig),
    /// MobileCLIP's hybrid of convolutions and attention.
    Mci(MciConfig),
}

impl<'de> Deserialize<'de> for VisionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        use serde::de::Error;
        let mut fields = Map::<String, Value>::deserialize(deserializer)?;
        let architecture = fields.remove("architecture").unwrap_or_else(|| "vit".into());
        let fields = Value::Object(fields);
        match architecture.as_str() {
            Some("vit") => serde_json::from_value(fields).map(Self::Vit),
            Some("siglip") => serde_json::from_value(fields).map(Self::Siglip),
            Some("resnet") => serde_json::from_value(fields).map(Self::Resnet),
            Some("mci") => serde_json::from_value(fields).map(Self::Mci),
            _ => {
                let message = format!("architecture is {architecture}, not vit, siglip, resnet or mci");
                return Err(D::Error::custom(message));
            }
        }
        .map_err(D::Error::custom)
    }
}

impl VisionConfig {
    /// Side of the square input, in pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Vit(c) | Self::Siglip(c) => c.image_size,
            Self::Resnet(c) => c.image_size,
            Self::Mci(c) => c.image_size,
        }
    }

    /// Warns of pixels at the right and the bottom that no patch covers: if patches do not divide the image, the convolution ignores
    /// the rest, as in all reference implementations.
    pub fn warning(&self) -> Option<String> {
        let (Self::Vit(c) | Self::Siglip(c)) = self else { return None };
        let (size, rest) = (c.image_size, c.image_size % c.patch_size);
        (rest > 0).then(|| {
            let patch = c.patch_size;
            format!("patches of {patch} pixels do not divide the image of {size}: its last {rest} columns and rows are ignored")
        })
    }

    /// Whether the tower can be trained. Batch norms cannot: their statistics are fixed.
    pub fn is_trainable(&self) -> bool {
        matches!(self, Self::Vit(_) | Self::Siglip(_))
    }
}

/// CLIP's ResNet (arXiv 2103.00020, section 2.4): a stem of three convolutions, four stages, attention pooling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResNetConfig {
    /// Side of the square input, in pixels; a multiple of 32.
    pub image_size: usize,
    /// Channels of the stem; the last stage has 32 times as many.
    pub width: usize,
    /// Blocks of each stage.
    pub layers: [usize; 4],
    /// Heads of the attention pooling.
    pub heads: usize,
}

/// MobileCLIP's MCi towers (arXiv 2311.17049).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MciConfig {
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Blocks of each stage.
    pub layers: Vec<usize>,
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Width of the MLPs, as a multiple of the stage's.
    pub mlp_ratio: usize,
    /// Number of last stages with attention.
    pub attention_stages: usize,
    /// Number of last stages with squeeze-and-excite in their downsampling.
    pub squeeze_stages: usize,
    /// Layer norms before attention, instead of batch norms.
    #[serde(default)]
    pub layer_norm: bool,
    /// 1×1 branches in the stem.
    #[serde(default = "yes")]
    pub stem_scale: bool,
}

/// A Vision Transformer (arXiv 2010.11929).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP's hidden layer; 0 in JSON means four times `width`.
    #[serde(default)]
    pub mlp_width: usize,
    /// Activation of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
}

/// Text tower: a Transformer, causal in CLIP (arXiv 2103.00020, section 2.4) but not in SigLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TextConfig {
    /// Tokens of a caption, including start and end.
    pub context_length: usize,
    /// Size of the vocabulary; 0 in JSON means the tokenizer's.
    #[serde(default)]
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the MLP's hidden layer; 0 in JSON means four times `width`.
    #[serde(default)]
    pub mlp_width: usize,
    /// Activation of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Position that represents the caption.
    #[serde(default)]
    pub pooling: TextPooling,
    /// Causal attention: a position attends only to itself and those before.
    #[serde(default = "yes")]
    pub causal: bool,
    /// Whether the projection has a bias.
    #[serde(default)]
    pub projection_bias: bool,
}

/// A whole CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClipConfig {
    /// Width of the shared embedding space.
    pub embed_dim: usize,
    /// Training objective.
    #[serde(default)]
    pub objective: Objective,
    /// Image tower.
    pub vision: VisionConfig,
    /// Text tower.
    pub text: TextConfig,
}

fn layer_norm_eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

pub(crate) fn invalid(field: &str, expected: impl Into<String>, got: impl core::fmt::Display) -> ClipError {
    ClipError::InvalidConfig { field: field.into(), expected: expected.into(), got: got.to_string() }
}

impl ClipConfig {
    /// Reads clipwright's own JSON, Hugging Face's `config.json` or OpenCLIP's.
    ///
    /// # Errors
    /// `invalid-config` if a field is missing, of the wrong type, or out of range.
    pub fn from_json(json: &str) -> Result<Self> {
        match Self::of_towers(json)? {
            (config, Towers::Both) => Ok(config),
            (_, one) => {
                Err(invalid("model_type", "a config of both towers", format!("one of the {one:?} tower alone")))
            }
        }
    }

    /// As [`from_json`](Self::from_json), but also reads the `config.json` of a single tower, such as that of
    /// `CLIPVisionModelWithProjection`. The other tower is then a placeholder.
    ///
    /// # Errors
    /// As there.
    pub fn of_towers(json: &str) -> Result<(Self, Towers)> {
        let value: Value = serde_json::from_str(json).map_err(|e| invalid("(root)", "a JSON object", e))?;
        let format = Format::of(&value);
        let (mut config, towers) = match format {
            Format::Hf => hf::read(&value)?,
            Format::OpenClip => (open_clip::read(&value)?, Towers::Both),
            Format::Own => {
                let own =
                    serde_json::from_value(value).map_err(|e| invalid("(root)", "the fields of ClipConfig", e))?;
                (own, Towers::Both)
            }
        };
        config.fill_defaults();
        config.validate().map_err(|error| match error {
            ClipError::InvalidConfig { field, expected, got } => {
                ClipError::InvalidConfig { field: format.field_name(&field), expected, got }
            }
            other => other,
        })?;
        Ok((config, towers))
    }

    fn fill_defaults(&mut self) {
        if let VisionConfig::Vit(v) | VisionConfig::Siglip(v) = &mut self.vision
            && v.mlp_width == 0
        {
            v.mlp_width = v.width.saturating_mul(4);
        }
        if self.text.mlp_width == 0 {
            self.text.mlp_width = self.text.width.saturating_mul(4);
        }
    }

    /// Returns the `config.json` from which `transformers` builds the same `CLIPModel` or `SiglipModel`.
    ///
    /// # Errors
    /// `invalid-option` for towers that transformers lacks.
    pub fn to_hf_json(&self) -> Result<String> {
        hf::write(self)
    }

    /// Refuses a model that cannot be trained.
    ///
    /// # Errors
    /// `invalid-config`.
    pub(crate) fn check_trainable(&self) -> Result<()> {
        if self.vision.is_trainable() {
            return Ok(());
        }
        Err(invalid("vision.architecture", "vit or siglip to train", "a tower with batch norms"))
    }

    /// Returns clipwright's own JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl ResNetConfig {
    /// Channels after the last stage.
    pub fn out_width(&self) -> usize {
        self.width * 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = r#"{"embedDim": 8, "vision": {"imageSize": 16, "patchSize": 8, "width": 12, "layers": 1, "heads": 3},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 8, "layers": 1, "heads": 2}}"#;

    #[test]
    fn own_json_fills_defaults_and_round_trips() {
        let config = ClipConfig::from_json(TINY).unwrap();
        let VisionConfig::Vit(vision) = &config.vision else { panic!("{config:?}") };
        assert_eq!((vision.mlp_width, config.text.mlp_width), (48, 32));
        assert_eq!(ClipConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn hf_json_round_trips() {
        let mut config = ClipConfig::from_json(TINY).unwrap();
        let again = |config: &ClipConfig| ClipConfig::from_json(&config.to_hf_json().unwrap()).unwrap();
        assert_eq!(again(&config), config);
        config.text.pooling = TextPooling::FirstOf(19);
        let VisionConfig::Vit(vision) = config.vision.clone() else { panic!("{config:?}") };
        config.vision = VisionConfig::Vit(VitConfig { activation: Activation::Gelu, ..vision.clone() });
        assert_eq!(again(&config), config);
        config.vision =
            VisionConfig::Siglip(VitConfig { activation: Activation::GeluTanh, layer_norm_eps: 1e-6, ..vision });
        config.text = TextConfig { pooling: TextPooling::Last, causal: false, projection_bias: true, ..config.text };
        (config.objective, config.embed_dim) = (Objective::Sigmoid, 12);
        assert_eq!(again(&config), config);
        assert_eq!(ClipConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn config_dicts_of_early_hf_files_take_precedence() {
        let config = ClipConfig::from_json(TINY).unwrap();
        let mut json: Value = serde_json::from_str(&config.to_hf_json().unwrap()).unwrap();
        json["text_config_dict"] = serde_json::json!({"num_hidden_layers": 3, "hidden_size": null});
        json["vision_config_dict"] = Value::Null;
        let early = ClipConfig::from_json(&json.to_string()).unwrap();
        assert_eq!((early.text.layers, early.text.width), (3, config.text.width));
    }

    #[test]
    fn invalid_configs_are_refused_by_field() {
        for (from, to, field) in [
            ("\"heads\": 3", "\"heads\": 5", "vision.heads"),
            ("\"patchSize\": 8", "\"patchSize\": 17", "vision.patchSize"),
            ("\"embedDim\": 8", "\"embedDim\": 0", "embedDim"),
            ("\"contextLength\": 6", "\"contextLength\": 2", "text.contextLength"),
            ("\"heads\": 2", "\"heads\": 2, \"pooling\": {\"first_of\": 20}", "text.pooling"),
            ("\"width\": 12", "\"widht\": 12", "(root)"),
            ("\"width\": 12", "\"width\": 12, \"architecture\": \"vgg\"", "(root)"),
            ("\"vocabSize\": 20", "\"vocabSize\": 18446744073709551615", "text.vocabSize"),
            ("\"embedDim\": 8", "\"embedDim\": -8", "(root)"),
        ] {
            let error = ClipConfig::from_json(&TINY.replace(from, to)).unwrap_err();
            assert!(matches!(&error, ClipError::InvalidConfig { field: f, .. } if f == field), "{to}: {error}");
        }
        assert_eq!(ClipConfig::from_json("{").unwrap_err().code(), "invalid-config");
    }

    #[test]
    fn errors_name_fields_as_the_file_does() {
        for (json, field) in [
            (r#"{"vision_config": {"patch_size": 0}, "text_config": {}}"#, "vision_config.patch_size"),
            (
                r#"{"vision_config": {}, "text_config": {"max_position_embeddings": 2}}"#,
                "text_config.max_position_embeddings",
            ),
            (r#"{"vision_config": {}, "text_config": {}, "projection_dim": 0}"#, "projection_dim"),
            (r#"{"vision_cfg": {"patch_size": 0}, "text_cfg": {}}"#, "vision_cfg.patch_size"),
            (r#"{"vision_cfg": {}, "text_cfg": {"mlp_ratio": 1e9}}"#, "text_cfg.mlp_ratio"),
            (r#"{"vision_cfg": {}, "text_cfg": {}, "embed_dim": 0}"#, "embed_dim"),
        ] {
            let error = ClipConfig::from_json(json).unwrap_err();
            assert!(matches!(&error, ClipError::InvalidConfig { field: f, .. } if f == field), "{json}: {error}");
        }
    }
}
