//! Shape of a CLIP: what a model is built from, read from our own JSON or from Hugging Face's `config.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ClipError, Result};

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
}

/// Image tower: a Vision Transformer (arXiv 2010.11929) with CLIP's extra layer norm before the blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VisionConfig {
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

/// Text tower: a causal Transformer (arXiv 2103.00020, section 2.4).
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
}

/// A whole CLIP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClipConfig {
    /// Width of the space that both towers map into.
    pub embed_dim: usize,
    /// Image tower.
    pub vision: VisionConfig,
    /// Text tower.
    pub text: TextConfig,
}

fn layer_norm_eps() -> f64 {
    1e-5
}

fn invalid(field: &str, expected: impl Into<String>, got: impl core::fmt::Display) -> ClipError {
    ClipError::InvalidConfig { field: field.into(), expected: expected.into(), got: got.to_string() }
}

impl ClipConfig {
    /// Reads our own JSON, or Hugging Face's `config.json` of a `CLIPModel` (told apart by `vision_config`).
    ///
    /// # Errors
    /// `invalid-config` where a field is missing, of another type, or makes no model.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|e| invalid("(root)", "a JSON object", e))?;
        let mut config = if value.get("vision_config").is_some() {
            Self::from_hf(&value)?
        } else {
            serde_json::from_value(value).map_err(|e| invalid("(root)", "the fields of ClipConfig", e))?
        };
        config.fill_defaults();
        config.validate()?;
        Ok(config)
    }

    fn fill_defaults(&mut self) {
        if self.vision.mlp_width == 0 {
            self.vision.mlp_width = 4 * self.vision.width;
        }
        if self.text.mlp_width == 0 {
            self.text.mlp_width = 4 * self.text.width;
        }
    }

    /// `config.json` as `transformers` writes it. The defaults are those of its `CLIPConfig`.
    fn from_hf(value: &Value) -> Result<Self> {
        let vision = HfTower { value: &value["vision_config"], name: "vision_config" };
        let text = HfTower { value: &value["text_config"], name: "text_config" };
        let eos = text.usize("eos_token_id", 49_407)?;
        Ok(Self {
            embed_dim: HfTower { value, name: "(root)" }.usize("projection_dim", 512)?,
            vision: VisionConfig {
                image_size: vision.usize("image_size", 224)?,
                patch_size: vision.usize("patch_size", 32)?,
                width: vision.usize("hidden_size", 768)?,
                layers: vision.usize("num_hidden_layers", 12)?,
                heads: vision.usize("num_attention_heads", 12)?,
                mlp_width: vision.usize("intermediate_size", 3_072)?,
                activation: vision.activation()?,
                layer_norm_eps: vision.f64("layer_norm_eps", 1e-5)?,
            },
            text: TextConfig {
                context_length: text.usize("max_position_embeddings", 77)?,
                vocab_size: text.usize("vocab_size", 49_408)?,
                width: text.usize("hidden_size", 512)?,
                layers: text.usize("num_hidden_layers", 12)?,
                heads: text.usize("num_attention_heads", 8)?,
                mlp_width: text.usize("intermediate_size", 2_048)?,
                activation: text.activation()?,
                layer_norm_eps: text.f64("layer_norm_eps", 1e-5)?,
                // Early configs say 2 whatever the vocabulary; transformers then pools at argmax:
                // https://github.com/huggingface/transformers/blob/v4.46.0/src/transformers/models/clip/modeling_clip.py#L1030
                pooling: match eos {
                    2 => TextPooling::Argmax,
                    id => TextPooling::FirstOf(
                        u32::try_from(id)
                            .map_err(|_too_large| invalid("text_config.eos_token_id", "a token id", id))?,
                    ),
                },
            },
        })
    }

    /// `config.json` from which `transformers` builds the same `CLIPModel`.
    pub fn to_hf_json(&self) -> String {
        let activation = |a| match a {
            Activation::QuickGelu => "quick_gelu",
            Activation::Gelu => "gelu",
        };
        let end = self.text.vocab_size.saturating_sub(1);
        let eos = match self.text.pooling {
            TextPooling::Argmax => 2,
            TextPooling::FirstOf(id) => id,
        };
        let (v, t) = (&self.vision, &self.text);
        let json = serde_json::json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "torch_dtype": "float32",
            "projection_dim": self.embed_dim,
            "logit_scale_init_value": LOGIT_SCALE_INIT,
            "vision_config": {
                "model_type": "clip_vision_model", "image_size": v.image_size, "patch_size": v.patch_size,
                "num_channels": 3, "hidden_size": v.width, "num_hidden_layers": v.layers,
                "num_attention_heads": v.heads, "intermediate_size": v.mlp_width,
                "hidden_act": activation(v.activation), "layer_norm_eps": v.layer_norm_eps,
                "attention_dropout": 0.0, "projection_dim": self.embed_dim,
            },
            "text_config": {
                "model_type": "clip_text_model", "max_position_embeddings": t.context_length,
                "vocab_size": t.vocab_size, "hidden_size": t.width, "num_hidden_layers": t.layers,
                "num_attention_heads": t.heads, "intermediate_size": t.mlp_width,
                "hidden_act": activation(t.activation), "layer_norm_eps": t.layer_norm_eps,
                "attention_dropout": 0.0, "projection_dim": self.embed_dim,
                "bos_token_id": end.saturating_sub(1), "eos_token_id": eos, "pad_token_id": end,
            },
        });
        format!("{json:#}\n")
    }

    /// Our own JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    fn validate(&self) -> Result<()> {
        let (v, t) = (&self.vision, &self.text);
        for (field, value, most) in [
            ("embed_dim", self.embed_dim, 1 << 16),
            ("vision.image_size", v.image_size, 1 << 13),
            ("vision.patch_size", v.patch_size, 1 << 13),
            ("vision.width", v.width, 1 << 16),
            ("vision.layers", v.layers, 1 << 10),
            ("vision.heads", v.heads, 1 << 10),
            ("vision.mlp_width", v.mlp_width, 1 << 18),
            ("text.context_length", t.context_length, 1 << 16),
            ("text.width", t.width, 1 << 16),
            ("text.layers", t.layers, 1 << 10),
            ("text.heads", t.heads, 1 << 10),
            ("text.mlp_width", t.mlp_width, 1 << 18),
        ] {
            if value == 0 || value > most {
                return Err(invalid(field, format!("1 to {most}"), value));
            }
        }
        if let TextPooling::FirstOf(id) = t.pooling
            && id as usize >= t.vocab_size
        {
            // without a size the vocabulary is cut, and every id with it
            let expected = format!("\"argmax\", or an id below text.vocab_size {}", t.vocab_size);
            return Err(invalid("text.pooling", expected, id));
        }
        if t.context_length < 3 {
            return Err(invalid("text.context_length", "3 or more: start, a token, end", t.context_length));
        }
        for (field, width, heads) in [("vision.heads", v.width, v.heads), ("text.heads", t.width, t.heads)] {
            if width % heads != 0 {
                return Err(invalid(field, format!("a divisor of the width {width}"), heads));
            }
        }
        if v.image_size % v.patch_size != 0 {
            let expected = format!("a divisor of the image size {}", v.image_size);
            return Err(invalid("vision.patch_size", expected, v.patch_size));
        }
        for (field, eps) in [("vision.layer_norm_eps", v.layer_norm_eps), ("text.layer_norm_eps", t.layer_norm_eps)] {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(invalid(field, "a number between 0 and 1", eps));
            }
        }
        Ok(())
    }
}

/// One object of a Hugging Face config, with the name to blame.
struct HfTower<'a> {
    value: &'a Value,
    name: &'static str,
}

impl HfTower<'_> {
    fn field(&self, key: &str) -> Option<&Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    fn usize(&self, key: &str, default: usize) -> Result<usize> {
        let Some(value) = self.field(key) else { return Ok(default) };
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| invalid(&format!("{}.{key}", self.name), "a whole number", value))
    }

    fn f64(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.field(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| invalid(&format!("{}.{key}", self.name), "a number", value))
    }

    fn activation(&self) -> Result<Activation> {
        match self.field("hidden_act").map(|v| v.as_str()) {
            None | Some(Some("quick_gelu")) => Ok(Activation::QuickGelu),
            Some(Some("gelu")) => Ok(Activation::Gelu),
            Some(other) => {
                let got = other.unwrap_or("another type");
                Err(invalid(&format!("{}.hidden_act", self.name), "\"quick_gelu\" or \"gelu\"", got))
            }
        }
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
        assert_eq!((config.vision.mlp_width, config.text.mlp_width), (48, 32));
        assert_eq!(ClipConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn hf_json_round_trips() {
        let mut config = ClipConfig::from_json(TINY).unwrap();
        assert_eq!(ClipConfig::from_json(&config.to_hf_json()).unwrap(), config);
        config.text.pooling = TextPooling::FirstOf(19);
        config.vision.activation = Activation::Gelu;
        assert_eq!(ClipConfig::from_json(&config.to_hf_json()).unwrap(), config);
    }

    #[test]
    fn what_makes_no_model_is_refused_by_field() {
        for (from, to, field) in [
            ("\"heads\": 3", "\"heads\": 5", "vision.heads"),
            ("\"patchSize\": 8", "\"patchSize\": 7", "vision.patch_size"),
            ("\"embedDim\": 8", "\"embedDim\": 0", "embed_dim"),
            ("\"contextLength\": 6", "\"contextLength\": 2", "text.context_length"),
            ("\"heads\": 2", "\"heads\": 2, \"pooling\": {\"first_of\": 20}", "text.pooling"),
            ("\"width\": 12", "\"widht\": 12", "(root)"),
            ("\"embedDim\": 8", "\"embedDim\": -8", "(root)"),
        ] {
            let error = ClipConfig::from_json(&TINY.replace(from, to)).unwrap_err();
            assert!(matches!(&error, ClipError::InvalidConfig { field: f, .. } if f == field), "{to}: {error}");
        }
        assert_eq!(ClipConfig::from_json("{").unwrap_err().code(), "invalid-config");
    }
}
