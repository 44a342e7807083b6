//! The image encoder of any architecture.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::init::ParamInit;
use super::mci::Mci;
use super::modified_resnet::ModifiedResNet;
use super::siglip_vision::SiglipVisionTransformer;
use super::transformer::{ResidualAttentionBlock, Transformer};
use super::vision_transformer::VisionTransformer;
use crate::config::{VisionConfig, invalid};
use crate::error::{ClipError, Result};

/// An image encoder.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them a model, never in a list")]
pub enum ImageTower {
    /// CLIP's Vision Transformer.
    Vit(VisionTransformer),
    /// SigLIP's Vision Transformer.
    Siglip(SiglipVisionTransformer),
    /// CLIP's ResNet.
    Resnet(ModifiedResNet),
    /// MobileCLIP's convolutions and attention.
    Mci(Mci),
}

impl ImageTower {
    /// Fresh parameters.
    pub fn init(config: &VisionConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        match config {
            VisionConfig::Vit(config) => Self::Vit(VisionTransformer::init(config, embed_dim, init)),
            VisionConfig::Siglip(config) => Self::Siglip(SiglipVisionTransformer::init(config, init)),
            VisionConfig::Resnet(config) => Self::Resnet(ModifiedResNet::init(config, embed_dim, init)),
            VisionConfig::Mci(config) => Self::Mci(Mci::init(config, embed_dim, init)),
        }
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, not of length one
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Vit(tower) => tower.forward(pixels),
            Self::Siglip(tower) => tower.forward(pixels),
            Self::Resnet(tower) => tower.forward(pixels),
            Self::Mci(tower) => tower.forward(pixels),
        }
    }

    /// Returns the input of the first block. `keep`, given the number of patches, returns the indices to keep of each image.
    ///
    /// # Shapes
    /// - output: `[batch, length, width]`
    ///
    /// # Errors
    /// `invalid-config` for a convolutional tower.
    pub fn enter(&self, pixels: Tensor<4>, keep: Option<&impl Fn(usize) -> Vec<Vec<usize>>>) -> Result<Tensor<3>> {
        match self {
            Self::Vit(tower) => {
                let mut x = tower.embeddings(pixels);
                if let Some(kept) = keep.map(|keep| keep(x.dims()[1] - 1)) {
                    // keeps the class token, at index 0
                    let with_class =
                        kept.into_iter().map(|kept| [0].into_iter().chain(kept.into_iter().map(|i| i + 1)));
                    x = select_tokens(x, with_class);
                }
                Ok(tower.ln_pre.forward(x))
            }
            Self::Siglip(tower) => {
                let x = tower.embeddings(pixels);
                Ok(match keep.map(|keep| keep(x.dims()[1])) {
                    Some(kept) => select_tokens(x, kept.into_iter().map(Vec::into_iter)),
                    None => x,
                })
            }
            Self::Resnet(_) | Self::Mci(_) => Err(without_patches()),
        }
    }

    /// The blocks; `None` in a convolutional tower.
    pub(super) fn blocks_mut(&mut self) -> Option<&mut Vec<ResidualAttentionBlock>> {
        match self {
            Self::Vit(tower) => Some(&mut tower.transformer.resblocks),
            Self::Siglip(tower) => Some(&mut tower.transformer.resblocks),
            Self::Resnet(_) | Self::Mci(_) => None,
        }
    }

    /// The blocks.
    ///
    /// # Errors
    /// `invalid-config` for a convolutional tower.
    pub fn transformer(&self) -> Result<&Transformer> {
        match self {
            Self::Vit(tower) => Ok(&tower.transformer),
            Self::Siglip(tower) => Ok(&tower.transformer),
            Self::Resnet(_) | Self::Mci(_) => Err(without_patches()),
        }
    }

    /// Computes what follows the blocks.
    ///
    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, embed_dim]`, not of length one
    ///
    /// # Errors
    /// `invalid-config` for a convolutional tower.
    pub fn leave(&self, x: Tensor<3>) -> Result<Tensor<2>> {
        match self {
            Self::Vit(tower) => Ok(tower.head(x)),
            Self::Siglip(tower) => Ok(tower.head.forward(tower.ln_post.forward(x))),
            Self::Resnet(_) | Self::Mci(_) => Err(without_patches()),
        }
    }
}

fn without_patches() -> ClipError {
    invalid("vision.architecture", "vit or siglip", "a convolutional tower")
}

/// Selects tokens of each image.
///
/// # Shapes
/// - x: `[batch, tokens, width]`; kept: `batch` lists of `n` indices
/// - output: `[batch, n, width]`
fn select_tokens(x: Tensor<3>, kept: impl Iterator<Item = impl Iterator<Item = usize>>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    let rows: Vec<i32> =
        kept.enumerate().flat_map(|(image, kept)| kept.map(move |i| (image * tokens + i) as i32)).collect();
    let count = rows.len();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &x.device());
    x.reshape([batch * tokens, width]).select(0, rows).reshape([batch, count / batch, width]) // [n, kept, w]
}

/// Makes a tensor of pixels, checked against a tower's image size.
///
/// # Shapes
/// - values, output: `[images, 3, size, size]`, normalised, row-major
///
/// # Errors
/// `empty-batch`; `shape-mismatch` unless the values are a whole number of images.
pub fn pixel_batch(values: Vec<f32>, config: &VisionConfig, device: &Device) -> Result<Tensor<4>> {
    let (count, size) = (image_count(&values, config)?, config.image_size());
    Ok(Tensor::from_data(TensorData::new(values, [count, 3, size, size]), device))
}

/// Returns the number of images in `[images, 3, size, size]`.
///
/// # Errors
/// Those of [`pixel_batch`].
pub fn image_count(values: &[f32], config: &VisionConfig) -> Result<usize> {
    let size = config.image_size();
    let each = 3 * size * size;
    if values.is_empty() {
        return Err(ClipError::EmptyBatch { what: "image".into() });
    }
    if !values.len().is_multiple_of(each) {
        return Err(ClipError::ShapeMismatch {
            what: "pixel_values".into(),
            expected: format!("[n, 3, {size}, {size}]"),
            got: format!("{} values", values.len()),
        });
    }
    Ok(values.len() / each)
}
