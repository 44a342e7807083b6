//! CLIP: both towers and the temperature.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use clip_kernels as kernels;

use super::image_tower::ImageTower;
use super::init::ParamInit;
use super::precision::MatmulPrecision;
use super::text_transformer::{TextBatch, TextTransformer};
use crate::config::{ClipConfig, LOGIT_SCALE_INIT, Objective};
use crate::error::{ClipError, Result};

/// Initial value of SigLIP's bias (arXiv 2303.15343, section 3.2).
pub(crate) const LOGIT_BIAS_INIT: f32 = -10.0;

/// Which towers a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Towers {
    /// Both.
    #[default]
    Both,
    /// The image tower alone.
    Image,
    /// The text tower alone.
    Text,
}

impl Towers {
    /// Which towers there are; `None` if neither is.
    pub fn of(image: bool, text: bool) -> Option<Self> {
        match (image, text) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Image),
            (false, true) => Some(Self::Text),
            (false, false) => None,
        }
    }

    /// Whether it includes the image tower.
    pub fn image(self) -> bool {
        self != Self::Text
    }

    /// Whether it includes the text tower.
    pub fn text(self) -> bool {
        self != Self::Image
    }

    /// Reads `both`, `image` or `text`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "both" => Ok(Self::Both),
            "image" => Ok(Self::Image),
            "text" => Ok(Self::Text),
            got => Err(ClipError::unknown_name("towers", "both, image or text", got)),
        }
    }
}

/// CLIP (arXiv 2103.00020): maps images and captions into one space.
#[derive(Module, Debug)]
pub struct Clip {
    /// Image tower; `None` in a model loaded without it.
    pub visual: Option<ImageTower>,
    /// Text tower; `None` in a model loaded without it.
    pub text: Option<TextTransformer>,
    /// Whether `logit_scale` was trained with the towers. Checkpoints of single towers lack it; their models compute no logits.
    pub has_logit_scale: bool,
    /// Logarithm of the inverse temperature, `[1]`.
    pub logit_scale: Param<Tensor<1>>,
    /// Added to the scaled similarities, `[1]`: SigLIP.
    pub logit_bias: Option<Param<Tensor<1>>>,
}

impl ClipConfig {
    /// Returns a model with fresh parameters; a seed gives the same numbers on every device.
    pub fn init(&self, seed: u64, device: &Device) -> Clip {
        self.build(&mut ParamInit::new(seed, device), Towers::Both)
    }

    /// Returns a model without values, to be filled from a checkpoint: see [`ParamInit::blank`].
    pub fn blank(&self, towers: Towers, most_values: Option<usize>, device: &Device) -> Clip {
        self.build(&mut ParamInit::blank(device, most_values), towers)
    }

    fn build(&self, init: &mut ParamInit<'_>, towers: Towers) -> Clip {
        Clip {
            visual: towers.image().then(|| ImageTower::init(&self.vision, self.embed_dim, init)),
            text: towers.text().then(|| TextTransformer::init(&self.text, self.embed_dim, init)),
            has_logit_scale: true,
            logit_scale: init.constant([1], LOGIT_SCALE_INIT as f32),
            logit_bias: (self.objective == Objective::Sigmoid).then(|| init.constant([1], LOGIT_BIAS_INIT)),
        }
    }
}

impl Clip {
    /// Device of the parameters.
    pub fn device(&self) -> Device {
        self.logit_scale.val().device()
    }

    /// Sets the precision of the blocks' matrix products.
    #[must_use]
    pub fn in_precision(mut self, precision: MatmulPrecision) -> Self {
        let blocks = self.visual.as_mut().and_then(ImageTower::blocks_mut).into_iter().flatten();
        let blocks = blocks.chain(self.text.iter_mut().flat_map(|tower| &mut tower.transformer.resblocks));
        blocks.for_each(|block| block.precision = precision);
        self
    }

    /// # Errors
    /// `missing-tower`.
    pub fn image_tower(&self) -> Result<&ImageTower> {
        self.visual.as_ref().ok_or(ClipError::MissingTower { tower: "image".into() })
    }

    /// # Errors
    /// `missing-tower`.
    pub fn text_tower(&self) -> Result<&TextTransformer> {
        self.text.as_ref().ok_or(ClipError::MissingTower { tower: "text".into() })
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, rows of length one
    ///
    /// # Errors
    /// `missing-tower`.
    pub fn encode_image(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        Ok(normalize(self.image_tower()?.forward(pixels)))
    }

    /// # Shapes
    /// - output: `[batch, embed_dim]`, rows of length one
    ///
    /// # Errors
    /// `missing-tower`.
    pub fn encode_text(&self, batch: &TextBatch) -> Result<Tensor<2>> {
        Ok(normalize(self.text_tower()?.forward(batch)))
    }

    /// Computes `exp(logit_scale) * cosine`, plus SigLIP's `logit_bias`.
    ///
    /// # Shapes
    /// - image_features: `[images, embed_dim]`, rows of length one
    /// - text_features: `[texts, embed_dim]`, rows of length one
    /// - output: `[images, texts]`
    pub fn logits_per_image(&self, image_features: Tensor<2>, text_features: Tensor<2>) -> Tensor<2> {
        let logits = logits(image_features, text_features, self.logit_scale.val());
        match &self.logit_bias {
            Some(bias) => logits + bias.val().unsqueeze::<2>(),
            None => logits,
        }
    }
}

/// Computes `exp(logit_scale) * a bᵀ`.
///
/// # Shapes
/// - a: `[m, embed_dim]`; b: `[n, embed_dim]`; logit_scale: `[1]`
/// - output: `[m, n]`
pub fn logits(a: Tensor<2>, b: Tensor<2>, logit_scale: Tensor<1>) -> Tensor<2> {
    kernels::matmul(a, b.transpose()) * logit_scale.exp().unsqueeze::<2>()
}

/// Scales rows to length one, as `torch.nn.functional.normalize` does (norms of at least 1e-12).
///
/// # Shapes
/// - x: `[n, embed_dim]`
/// - output: as x
pub fn normalize(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    x / norm
}
