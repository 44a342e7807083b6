//! Image tower: a Vision Transformer (arXiv 2010.11929) as CLIP uses it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::init::{BlockInit, ParamInit};
use super::layer_norm::LayerNorm;
use super::transformer::{Transformer, TransformerShape};
use crate::config::VitConfig;

/// A convolution whose stride is its kernel size: the same linear map for every patch.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// `[width, 3, patch, patch]`, as PyTorch's `nn.Conv2d` stores it.
    pub weight: Param<Tensor<4>>,
    /// `[width]`; SigLIP only.
    pub bias: Option<Param<Tensor<1>>>,
}

impl PatchEmbedding {
    /// Fresh parameters with the defaults of `nn.Conv2d`.
    pub fn init(config: &VitConfig, bias: bool, init: &mut ParamInit<'_>) -> Self {
        let VitConfig { width, patch_size: patch, .. } = *config;
        let bound = ((3 * patch * patch) as f64).powf(-0.5);
        Self { weight: init.uniform([width, 3, patch, patch], bound), bias: bias.then(|| init.uniform([width], bound)) }
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    /// - output: `[batch, patches, width]`, row by row
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, channels, size, _] = pixels.dims();
        let [width, _, patch, _] = self.weight.shape().dims();
        let grid = size / patch;
        let dim = channels * patch * patch;
        let whole = 0..grid * patch; // drops the pixels after the last whole patch
        let patches = pixels
            .slice([0..batch, 0..channels, whole.clone(), whole])
            .reshape([batch, channels, grid, patch, grid, patch]) // [n, c, gy, py, gx, px]
            .permute([0, 2, 4, 1, 3, 5]) // [n, gy, gx, c, py, px]
            .reshape([batch, grid * grid, dim]); // [n, patches, c * py * px]
        let weight = self.weight.val().reshape([width, dim]).transpose(); // [dim, width]
        kernels::linear(patches, weight, self.bias.as_ref().map(Param::val))
    }
}

/// A Transformer over a class token and patches. The embedding is the class token's last state, projected.
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
    pub fn init(config: &VitConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        let VitConfig { width, patch_size: patch, layer_norm_eps: eps, .. } = *config;
        let scale = (width as f64).powf(-0.5);
        let patches = (config.image_size / patch).pow(2);
        Self {
            conv1: PatchEmbedding::init(config, false, init),
            class_embedding: init.normal([width], scale),
            positional_embedding: init.normal([1 + patches, width], scale),
            ln_pre: LayerNorm::init(width, eps, init),
            transformer: Transformer::init(TransformerShape::of_vit(config), BlockInit::PyTorch, init),
            ln_post: LayerNorm::init(width, eps, init),
            proj: init.normal([width, embed_dim], scale),
        }
    }

    /// Returns the tokens before `ln_pre`.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    /// - output: `[batch, 1 + patches, width]`
    pub fn embeddings(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = self.conv1.forward(pixels);
        let [batch, _, width] = patches.dims();
        let class = self.class_embedding.val().reshape([1, 1, width]).expand([batch, 1, width]);
        Tensor::cat(vec![class, patches], 1) + kernels::to_f32(self.positional_embedding.val()).unsqueeze::<3>()
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        self.head(self.transformer.forward(self.ln_pre.forward(self.embeddings(pixels))))
    }

    /// Computes what follows the blocks.
    ///
    /// # Shapes
    /// - x: `[batch, 1 + patches, width]`, or fewer patches
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn head(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, _, width] = x.dims();
        let class = x.slice([0..batch, 0..1]).reshape([batch, width]);
        kernels::matmul(self.ln_post.forward(class), kernels::to_f32(self.proj.val()))
    }
}
