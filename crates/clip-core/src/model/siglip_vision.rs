//! SigLIP's image tower (arXiv 2303.15343): a Vision Transformer without class token, pooled by attention.
//!
//! Source: <https://github.com/huggingface/transformers/blob/v4.46.0/src/transformers/models/siglip/modeling_siglip.py>

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::attention::attend;
use super::init::{BlockInit, ParamInit};
use super::layer_norm::LayerNorm;
use super::mlp::Mlp;
use super::transformer::{Transformer, TransformerShape};
use super::vision_transformer::PatchEmbedding;
use crate::config::VitConfig;

/// Attention pooling by one learned query, followed by a residual MLP.
#[derive(Module, Debug)]
pub struct AttentionPoolHead {
    /// The query, `[width]`.
    pub probe: Param<Tensor<1>>,
    /// `[width, 3 * width]`, query, key and value side by side.
    pub in_proj_weight: Param<Tensor<2>>,
    /// `[3 * width]`
    pub in_proj_bias: Param<Tensor<1>>,
    /// `[width, width]` and `[width]`
    pub out_proj: Linear,
    /// Norm before the MLP.
    pub layernorm: LayerNorm,
    /// Residual MLP.
    pub mlp: Mlp,
    /// Number of heads.
    pub heads: usize,
}

impl AttentionPoolHead {
    fn init(config: &VitConfig, init: &mut ParamInit<'_>) -> Self {
        let (width, d) = (config.width, config.width as f64);
        Self {
            probe: init.normal([width], d.powf(-0.5)),
            in_proj_weight: init.uniform([width, 3 * width], (6.0 / (4.0 * d)).sqrt()),
            in_proj_bias: init.constant([3 * width], 0.0),
            out_proj: Linear {
                weight: init.uniform([width, width], d.powf(-0.5)),
                bias: Some(init.constant([width], 0.0)),
            },
            layernorm: LayerNorm::init(width, config.layer_norm_eps, init),
            mlp: Mlp::init(width, config.mlp_width, config.activation, BlockInit::PyTorch, init),
            heads: config.heads,
        }
    }

    /// # Shapes
    /// - x: `[batch, patches, width]`
    /// - output: `[batch, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, _, width] = x.dims();
        let (weight, bias) = (self.in_proj_weight.val(), self.in_proj_bias.val());
        let part = |x: Tensor<3>, from: usize, count: usize| {
            let columns = from * width..(from + count) * width;
            kernels::linear(x, weight.clone().slice([0..width, columns.clone()]), Some(bias.clone().slice([columns])))
        };
        let query = part(self.probe.val().reshape([1, 1, width]), 0, 1).expand([batch, 1, width]); // [n, 1, w]
        let keys_values = part(x, 1, 2); // [n, l, 2 w]
        let pooled = attend(query, keys_values, self.heads); // [n, 1, w]
        let pooled = kernels::linear(pooled, self.out_proj.weight.val(), self.out_proj.bias.as_ref().map(Param::val));
        let pooled = pooled.clone() + self.mlp.forward(self.layernorm.forward(pooled));
        pooled.reshape([batch, width])
    }
}

/// A Transformer over patches, then attention pooling. It has no projection: its width is the width of the shared space.
#[derive(Module, Debug)]
pub struct SiglipVisionTransformer {
    /// Patch embedding, with bias.
    pub conv1: PatchEmbedding,
    /// `[patches, width]`
    pub positional_embedding: Param<Tensor<2>>,
    /// Blocks.
    pub transformer: Transformer,
    /// Norm of all states.
    pub ln_post: LayerNorm,
    /// Pooling.
    pub head: AttentionPoolHead,
}

impl SiglipVisionTransformer {
    /// Fresh parameters, from the distributions of CLIP's.
    pub fn init(config: &VitConfig, init: &mut ParamInit<'_>) -> Self {
        let patches = (config.image_size / config.patch_size).pow(2);
        Self {
            conv1: PatchEmbedding::init(config, true, init),
            positional_embedding: init.normal([patches, config.width], (config.width as f64).powf(-0.5)),
            transformer: Transformer::init(TransformerShape::of_vit(config), BlockInit::PyTorch, init),
            ln_post: LayerNorm::init(config.width, config.layer_norm_eps, init),
            head: AttentionPoolHead::init(config, init),
        }
    }

    /// Returns patch embeddings plus positional embeddings.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`
    /// - output: `[batch, patches, width]`
    pub fn embeddings(&self, pixels: Tensor<4>) -> Tensor<3> {
        self.conv1.forward(pixels) + kernels::to_f32(self.positional_embedding.val()).unsqueeze::<3>()
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, width]`, not of length one
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let x = self.transformer.forward(self.embeddings(pixels));
        self.head.forward(self.ln_post.forward(x))
    }
}
