//! Image tower: a Vision Transformer (arXiv 2010.11929) as CLIP uses it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::init::{BlockInit, ParamInit};
use super::layer_norm::LayerNorm;
use super::transformer::{Transformer, TransformerShape};
use crate::config::VisionConfig;
use crate::error::{ClipError, Result};
use crate::kernels;

/// Images as the tower takes them, checked against its size.
///
/// # Shapes
/// - values, output: `[images, 3, size, size]`, normalised, row-major
///
/// # Errors
/// `empty-batch`; `shape-mismatch` for values that are no whole number of images.
pub fn pixel_batch(values: &[f32], config: &VisionConfig, device: &Device) -> Result<Tensor<4>> {
    let (count, size) = (image_count(values, config)?, config.image_size);
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), [count, 3, size, size]), device))
}

/// Images in `[images, 3, size, size]`.
///
/// # Errors
/// As [`pixel_batch`].
pub fn image_count(values: &[f32], config: &VisionConfig) -> Result<usize> {
    let size = config.image_size;
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

/// A convolution whose stride is its kernel: one linear map for every patch.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// `[width, 3, patch, patch]`, as PyTorch's `nn.Conv2d` stores it.
    pub weight: Param<Tensor<4>>,
}

impl PatchEmbedding {
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    /// - output: `[batch, patches, width]`, row by row
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, channels, size, _] = pixels.dims();
        let [width, _, patch, _] = self.weight.shape().dims();
        let grid = size / patch;
        let dim = channels * patch * patch;
        let patches = pixels
            .reshape([batch, channels, grid, patch, grid, patch]) // [n, c, gy, py, gx, px]
            .permute([0, 2, 4, 1, 3, 5]) // [n, gy, gx, c, py, px]
            .reshape([batch, grid * grid, dim]); // [n, patches, c * py * px]
        let weight = self.weight.val().reshape([width, dim]).transpose(); // [dim, width]
        kernels::linear(patches, weight, None)
    }
}

/// Patches and a class token through a Transformer; the class token's last state, projected, is the image's embedding.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// Patch embedding, without bias.
    pub conv1: PatchEmbedding,
    /// `[width]`
    pub class_embedding: Param<Tensor<1>>,
    /// `[1 + patches, width]`; row 0 is the class token's.
    pub positional_embedding: Param<Tensor<2>>,
    /// Norm before the blocks.
    pub ln_pre: LayerNorm,
    /// Blocks.
    pub transformer: Transformer,
    /// Norm of the class token's last state.
    pub ln_post: LayerNorm,
    /// `[width, embed_dim]`
    pub proj: Param<Tensor<2>>,
}

impl VisionTransformer {
    /// Fresh parameters: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L206-L221>.
    pub fn init(config: &VisionConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        let VisionConfig { width, patch_size: patch, layer_norm_eps: eps, .. } = *config;
        let scale = (width as f64).powf(-0.5);
        let patches = (config.image_size / patch).pow(2);
        let shape = TransformerShape {
            width,
            layers: config.layers,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: eps,
            causal: false,
        };
        Self {
            // nn.Conv2d's default
            conv1: PatchEmbedding {
                weight: init.uniform([width, 3, patch, patch], ((3 * patch * patch) as f64).powf(-0.5)),
            },
            class_embedding: init.normal([width], scale),
            positional_embedding: init.normal([1 + patches, width], scale),
            ln_pre: LayerNorm::init(width, eps, init),
            transformer: Transformer::init(shape, BlockInit::PyTorch, init),
            ln_post: LayerNorm::init(width, eps, init),
            proj: init.normal([width, embed_dim], scale),
        }
    }

    /// Tokens before `ln_pre`.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    /// - output: `[batch, 1 + patches, width]`
    pub fn embeddings(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = self.conv1.forward(pixels);
        let [batch, _, width] = patches.dims();
        let class = self.class_embedding.val().reshape([1, 1, width]).expand([batch, 1, width]);
        Tensor::cat(vec![class, patches], 1) + self.positional_embedding.val().unsqueeze::<3>()
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let x = self.ln_pre.forward(self.embeddings(pixels));
        let x = self.transformer.forward(x);
        let [batch, _, width] = x.dims();
        let class = x.slice([0..batch, 0..1]).reshape([batch, width]);
        self.ln_post.forward(class).matmul(self.proj.val())
    }
}
