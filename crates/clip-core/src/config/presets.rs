//! Shapes of published models, by OpenCLIP's names.

use serde_json::json;

use super::ClipConfig;
use crate::error::{ClipError, Result};
use crate::tokenizer::PUBLISHED_VOCAB_SIZE;

/// Name; width of the embedding; side of a patch; width and number of blocks of the image tower; width of the text tower: arXiv
/// 2103.00020, table 20. Heads are 64 wide.
const MODELS: [(&str, usize, usize, usize, usize, usize); 3] =
    [("ViT-B-32", 512, 32, 768, 12, 512), ("ViT-B-16", 512, 16, 768, 12, 512), ("ViT-L-14", 768, 14, 1024, 24, 768)];
/// OpenCLIP's ending for OpenAI's activation; without it, its models have the exact GELU.
const QUICK_GELU: &str = "-quickgelu";

impl ClipConfig {
    /// Returns the config of a published model with images of 224 pixels: `ViT-B-32`, `ViT-B-16` or `ViT-L-14`, or with `-quickgelu`
    /// after it, as OpenAI's; also as papers write them, `ViT-L/14` or `L/14`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn preset(name: &str) -> Result<Self> {
        let plain = name.replace('/', "-");
        let (shape, activation) = match plain.strip_suffix(QUICK_GELU) {
            Some(shape) => (shape, "quick_gelu"),
            None => (plain.as_str(), "gelu"),
        };
        let is_named = |name: &str| name == shape || name.strip_prefix("ViT-") == Some(shape);
        let Some(&(_, embed_dim, patch, width, layers, text)) = MODELS.iter().find(|model| is_named(model.0)) else {
            let names: Vec<&str> = MODELS.iter().map(|model| model.0).collect();
            let expected = format!("{}, with or without {QUICK_GELU}", names.join(", "));
            return Err(ClipError::unknown_name("model", &expected, name));
        };
        let config = json!({
            "embedDim": embed_dim,
            "vision": {
                "imageSize": 224, "patchSize": patch, "width": width, "layers": layers, "heads": width / 64,
                "activation": activation,
            },
            "text": {
                "contextLength": 77, "vocabSize": PUBLISHED_VOCAB_SIZE, "width": text, "layers": 12, "heads": text / 64,
                "activation": activation,
            },
        });
        Self::from_json(&config.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Activation;

    #[test]
    fn presets_have_the_published_shapes() {
        let b32 = ClipConfig::preset("ViT-B-32").unwrap();
        assert_eq!((b32.embed_dim, b32.text.heads, b32.text.vocab_size), (512, 8, 49_408));
        assert_eq!(b32.text.activation, Activation::Gelu);
        let l14 = ClipConfig::preset("ViT-L-14-quickgelu").unwrap();
        assert_eq!((l14.embed_dim, l14.text.width, l14.text.heads), (768, 768, 12));
        assert_eq!(l14.text.activation, Activation::QuickGelu);
        assert_eq!(ClipConfig::preset("L/14-quickgelu").unwrap(), l14);
        let error = ClipConfig::preset("ViT-H-14").unwrap_err();
        assert!(error.to_string().contains("ViT-B-32, ViT-B-16, ViT-L-14"), "{error}");
    }
}
