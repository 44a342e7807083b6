//! Shape of a CLIP: what a model is built from, read from our own JSON, Hugging Face's or OpenCLIP's.

mod fields;
mod hf;
mod keys;
mod open_clip;
mod validate;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub(crate) use fields::{Fields, short};
pub(crate) use hf::is_hf as config_is_hf;
pub(crate) use keys::unknown_keys;

use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Whether a text is a config of Hugging Face's; false for invalid JSON.
pub(crate) fn is_hf(json: &str) -> bool {
    serde_json::from_str(json).is_ok_and(|value| hf::is_hf(&value))
}

/// Name that a field of [`ClipConfig`], `text.vocabSize` for instance, has in a config file, for error messages.
pub(crate) fn field_name(json: &str, ours: &str) -> String {
    Format::of(&serde_json::from_str(json).unwrap_or_default()).field_name(ours)
}

/// Whose file a config is.
#[derive(Clone, Copy)]
enum Format {
    Own,
    Hf,
    OpenClip,
}

impl Format {
    fn of(value: &Value) -> Self {
        let has = |key: &str| value.get(key).is_some();
        if hf::is_hf(value) {
            Self::Hf
        } else if has("model_cfg") || has("vision_cfg") {
            Self::OpenClip
        } else {
            Self::Own
        }
    }

    fn field_name(self, ours: &str) -> String {
        match self {
            Self::Own => ours.into(),
            Self::Hf => hf::field_name(ours),
            Self::OpenClip => open_clip::field_name(ours),
        }
    }
}

/// ln(1 / 0.07), where CLIP's learned temperature starts (arXiv 2103.00020, section 2.5).
pub const LOGIT_SCALE_INIT: f64 = 2.659_260_036_932_778;

/// Non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's models.
    #[default]
    QuickGelu,
    /// `x * Φ(x)`, exact: LAION's and newer models.
    Gelu,
    /// `x * Φ(x)` by a hyperbolic tangent: SigLIP.
    GeluTanh,
}

/// Which position of the text Transformer stands for the caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum TextPooling {
    /// The position of the highest id (the end token is the last of CLIP's vocabulary); the first one of several.
    #[default]
    Argmax,
    /// The first position that holds this id.
    FirstOf(u32),
    /// The last position of the context, whatever it holds: SigLIP.
    Last,
}

/// What the similarities become, and with it what the model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Each image chooses among the captions and each caption among the images: CLIP.
    #[default]
    Softmax,
    /// Each pair is judged alone, with a learned bias: SigLIP (arXiv 2303.15343).
    Sigmoid,
}

/// Image tower, by architecture. In JSON the field `architecture` tells which; `vit` where it is left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "architecture", rename_all = "snake_case")]
pub enum VisionConfig {
    /// CLIP's Vision Transformer.
    Vit(VitConfig),
    /// SigLIP's: no class token, attention pooling.
    Siglip(VitConfig),
    /// CLIP's ResNet.
    Resnet(ResNetConfig),
    /// MobileCLIP's convolutions and attention.
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

    /// What the user should know: pixels at the right and at the bottom that no patch covers. Where the patches do not divide
    /// the image, all references leave the rest out, as a convolution does.
    pub fn warning(&self) -> Option<String> {
        let (Self::Vit(c) | Self::Siglip(c)) = self else { return None };
        let (size, rest) = (c.image_size, c.image_size % c.patch_size);
        (rest > 0).then(|| {
            let patch = c.patch_size;
            format!("patches of {patch} pixels do not divide the image of {size}: its last {rest} columns and rows are not looked at")
        })
    }

    /// Whether the tower can be trained: the statistics of batch norms are only read here.
    pub fn is_trainable(&self) -> bool {
        matches!(self, Self::Vit(_) | Self::Siglip(_))
    }
}

/// CLIP's ResNet (arXiv 2103.00020, section 2.4): three convolutions before the stages, attention pooling after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResNetConfig {
    /// Side of the square input, in pixels; a multiple of 32.
    pub image_size: usize,
    /// Channels of the first stage; the last has 32 times as many after its blocks.
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
    /// Channels of each stage; twice as many as the stage before.
    pub widths: Vec<usize>,
    /// Width of the MLPs over that of the stage.
    pub mlp_ratio: usize,
    /// How many of the last stages attend.
    pub attention_stages: usize,
    /// How many of the last stages are entered by a squeeze-and-excite.
    pub squeeze_stages: usize,
    /// Whether attention follows a layer norm, and not a batch norm.
    #[serde(default)]
    pub layer_norm: bool,
    /// Whether the stem has branches of one pixel.
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
    /// Non-linearity of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
}

/// Text tower: a Transformer, causal in CLIP (arXiv 2103.00020, section 2.4) and not in SigLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TextConfig {
    /// Tokens of a caption, start and end included.
    pub context_length: usize,
    /// Size of the vocabulary; 0 in JSON means: as many as the tokenizer has.
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
    /// Non-linearity of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Epsilon of the layer norms.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// How a caption becomes one vector.
    #[serde(default)]
    pub pooling: TextPooling,
    /// Whether a token sees only itself and those before it.
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
    /// Width of the space that both towers map into.
    pub embed_dim: usize,
    /// What the similarities become.
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
    /// Reads our own JSON, Hugging Face's `config.json` (told by `vision_config`) or OpenCLIP's (told by `model_cfg` or
    /// `vision_cfg`).
    ///
    /// # Errors
    /// `invalid-config` where a field is missing, of another type, or makes no model that is known here.
    pub fn from_json(json: &str) -> Result<Self> {
        match Self::of_towers(json)? {
            (config, Towers::Both) => Ok(config),
            (_, one) => {
                Err(invalid("model_type", "a config of both towers", format!("one of the {one:?} tower alone")))
            }
        }
    }

    /// As [`from_json`](Self::from_json), and takes `config.json` of one tower as well: `CLIPVisionModelWithProjection` and
    /// its like. The other tower, which there is no use for, has transformers' defaults.
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

    /// `config.json` from which `transformers` builds the same `CLIPModel` or `SiglipModel`.
    ///
    /// # Errors
    /// `invalid-option` for towers that transformers does not have.
    pub fn to_hf_json(&self) -> Result<String> {
        hf::write(self)
    }

    /// Our own JSON.
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
    fn fields_of_early_hf_files_win() {
        let config = ClipConfig::from_json(TINY).unwrap();
        let mut json: Value = serde_json::from_str(&config.to_hf_json().unwrap()).unwrap();
        json["text_config_dict"] = serde_json::json!({"num_hidden_layers": 3, "hidden_size": null});
        json["vision_config_dict"] = Value::Null;
        let early = ClipConfig::from_json(&json.to_string()).unwrap();
        assert_eq!((early.text.layers, early.text.width), (3, config.text.width));
    }

    #[test]
    fn what_makes_no_model_is_refused_by_field() {
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
    fn a_refused_value_is_named_as_in_its_file() {
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
