//! Both towers and the temperature.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::init::ParamInit;
use super::text_transformer::{TextBatch, TextTransformer};
use super::vision_transformer::VisionTransformer;
use crate::config::{ClipConfig, LOGIT_SCALE_INIT};

/// CLIP (arXiv 2103.00020): images and captions mapped into one space.
#[derive(Module, Debug)]
pub struct Clip {
    /// Image tower.
    pub visual: VisionTransformer,
    /// Text tower.
    pub text: TextTransformer,
    /// Logarithm of the inverse temperature, `[1]`.
    pub logit_scale: Param<Tensor<1>>,
}

impl ClipConfig {
    /// A model with fresh parameters; the same `seed` gives the same numbers on every device.
    pub fn init(&self, seed: u64, device: &Device) -> Clip {
        self.build(&mut ParamInit::new(seed, device))
    }

    /// A model of zeros, to be filled from a checkpoint.
    pub fn blank(&self, device: &Device) -> Clip {
        self.build(&mut ParamInit::blank(device))
    }

    fn build(&self, init: &mut ParamInit<'_>) -> Clip {
        Clip {
            visual: VisionTransformer::init(&self.vision, self.embed_dim, init),
            text: TextTransformer::init(&self.text, self.embed_dim, init),
            logit_scale: init.constant([1], LOGIT_SCALE_INIT as f32),
        }
    }
}

impl Clip {
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, of length one
    pub fn encode_image(&self, pixels: Tensor<4>) -> Tensor<2> {
        normalize(self.visual.forward(pixels))
    }

    /// # Shapes
    /// - output: `[batch, embed_dim]`, of length one
    pub fn encode_text(&self, batch: &TextBatch) -> Tensor<2> {
        normalize(self.text.forward(batch))
    }

    /// `exp(logit_scale) * cosine`.
    ///
    /// # Shapes
    /// - image_features: `[images, embed_dim]`, of length one
    /// - text_features: `[texts, embed_dim]`, of length one
    /// - output: `[images, texts]`
    pub fn logits_per_image(&self, image_features: Tensor<2>, text_features: Tensor<2>) -> Tensor<2> {
        logits(image_features, text_features, self.logit_scale.val())
    }
}

/// `exp(logit_scale) * a bᵀ`.
///
/// # Shapes
/// - a: `[m, embed_dim]`; b: `[n, embed_dim]`; logit_scale: `[1]`
/// - output: `[m, n]`
pub fn logits(a: Tensor<2>, b: Tensor<2>, logit_scale: Tensor<1>) -> Tensor<2> {
    a.matmul(b.transpose()) * logit_scale.exp().unsqueeze::<2>()
}

/// Rows scaled to length one, as `torch.nn.functional.normalize` does (floor 1e-12).
///
/// # Shapes
/// - x: `[n, embed_dim]`
/// - output: as x
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    x / norm
}
