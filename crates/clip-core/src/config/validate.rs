//! Validates a config: shapes fit together, and into memory.

use super::{ClipConfig, MciConfig, ResNetConfig, TextConfig, TextPooling, VisionConfig, VitConfig, invalid};
use crate::error::Result;

impl ClipConfig {
    /// Checks that the shapes fit together and into memory. Errors name fields as our own JSON does.
    pub(super) fn validate(&self) -> Result<()> {
        range("embedDim", self.embed_dim, 1 << 16)?;
        match &self.vision {
            VisionConfig::Vit(v) => v.validate()?,
            VisionConfig::Siglip(v) => {
                v.validate()?;
                if v.width != self.embed_dim {
                    return Err(invalid("embedDim", format!("the image tower's width {}", v.width), self.embed_dim));
                }
            }
            VisionConfig::Resnet(v) => v.validate()?,
            VisionConfig::Mci(v) => v.validate()?,
        }
        self.text.validate()
    }
}

fn range(field: &str, value: usize, max: usize) -> Result<()> {
    if value == 0 || value > max {
        return Err(invalid(field, format!("1 to {max}"), value));
    }
    Ok(())
}

fn divides(field: &str, part: usize, whole: usize, of: &str) -> Result<()> {
    if !whole.is_multiple_of(part) {
        return Err(invalid(field, format!("a divisor of the {of} {whole}"), part));
    }
    Ok(())
}

fn epsilon(field: &str, eps: f64) -> Result<()> {
    if !(eps > 0.0 && eps < 1.0) {
        return Err(invalid(field, "a number between 0 and 1", eps));
    }
    Ok(())
}

/// 2 GiB of f32: half of a 32-bit Wasm memory.
const MAX_VALUES: usize = 1 << 29;

/// Checks the number of values of a matrix.
fn size(field: &str, dims: [usize; 2]) -> Result<()> {
    match dims[0].checked_mul(dims[1]) {
        Some(values) if values < MAX_VALUES => Ok(()),
        _ => Err(invalid(field, format!("a tensor of fewer than {MAX_VALUES} values"), format!("{dims:?}"))),
    }
}

impl VitConfig {
    fn validate(&self) -> Result<()> {
        range("vision.imageSize", self.image_size, 1 << 13)?;
        range("vision.patchSize", self.patch_size, 1 << 13)?;
        range("vision.width", self.width, 1 << 16)?;
        range("vision.layers", self.layers, 1 << 10)?;
        range("vision.heads", self.heads, 1 << 10)?;
        range("vision.mlpWidth", self.mlp_width, 1 << 18)?;
        size("vision.mlpWidth", [self.width, self.mlp_width])?;
        size("vision.width", [self.width, 3 * self.width])?;
        size("vision.patchSize", [self.width, 3 * self.patch_size * self.patch_size])?;
        divides("vision.heads", self.heads, self.width, "width")?;
        // an image size that is not a multiple of the patch size is valid: the convolution ignores the last pixels
        if self.patch_size > self.image_size {
            let expected = format!("at most the image size {}", self.image_size);
            return Err(invalid("vision.patchSize", expected, self.patch_size));
        }
        size("vision.imageSize", [(self.image_size / self.patch_size).pow(2) + 1, self.width])?;
        epsilon("vision.layerNormEps", self.layer_norm_eps)
    }
}

impl ResNetConfig {
    fn validate(&self) -> Result<()> {
        range("vision.imageSize", self.image_size, 1 << 13)?;
        range("vision.width", self.width, 1 << 11)?;
        divides("vision.width", 2, self.width, "width")?;
        for layers in self.layers {
            range("vision.layers", layers, 1 << 10)?;
        }
        range("vision.heads", self.heads, 1 << 10)?;
        divides("vision.heads", self.heads, self.out_width(), "last stage's width")?;
        if !self.image_size.is_multiple_of(32) {
            return Err(invalid("vision.imageSize", "a multiple of 32", self.image_size));
        }
        Ok(())
    }
}

impl MciConfig {
    fn validate(&self) -> Result<()> {
        range("vision.imageSize", self.image_size, 1 << 13)?;
        range("vision.layers", self.layers.len(), 8)?;
        if self.widths.len() != self.layers.len() {
            let expected = format!("{}, as many as layers", self.layers.len());
            return Err(invalid("vision.widths", expected, self.widths.len()));
        }
        for (i, (&layers, &width)) in self.layers.iter().zip(&self.widths).enumerate() {
            range("vision.layers", layers, 1 << 10)?;
            range("vision.widths", width, 1 << 13)?;
            divides("vision.widths", if i == 0 { 1 } else { self.widths[i - 1] }, width, "next width")?;
            if i + self.attention_stages >= self.layers.len() {
                divides("vision.widths", 32, width, "attention's width")?;
            }
        }
        range("vision.mlpRatio", self.mlp_ratio, 16)?;
        range("vision.attentionStages", self.attention_stages + 1, self.layers.len() + 1)?;
        range("vision.squeezeStages", self.squeeze_stages + 1, self.layers.len())
    }
}

impl TextConfig {
    fn validate(&self) -> Result<()> {
        range("text.contextLength", self.context_length, 1 << 16)?;
        range("text.width", self.width, 1 << 16)?;
        range("text.layers", self.layers, 1 << 10)?;
        range("text.heads", self.heads, 1 << 10)?;
        range("text.mlpWidth", self.mlp_width, 1 << 18)?;
        size("text.vocabSize", [self.vocab_size, self.width])?;
        size("text.mlpWidth", [self.width, self.mlp_width])?;
        size("text.width", [self.width, 3 * self.width])?;
        size("text.contextLength", [self.context_length, self.width])?;
        if let TextPooling::FirstOf(id) = self.pooling
            && id as usize >= self.vocab_size
        {
            // without a size (0), the vocabulary is cut later and its ids change
            let expected = format!("\"argmax\", or an id below the vocabulary's size {}", self.vocab_size);
            return Err(invalid("text.pooling", expected, id));
        }
        if self.context_length < 3 {
            return Err(invalid("text.contextLength", "3 or more: start, a token, end", self.context_length));
        }
        divides("text.heads", self.heads, self.width, "width")?;
        epsilon("text.layerNormEps", self.layer_norm_eps)
    }
}
