//! MobileCLIP's image towers (arXiv 2311.17049): FastViT (arXiv 2303.14189), whose parallel convolutions are fused into one kernel.
//!
//! Source: <https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/fastvit.py>. Fields are named by
//! its state-dict keys. Batch norm uses the statistics of the checkpoint: these towers encode and are not trained here.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use clip_kernels as kernels;

use super::conv::{BatchNorm2d, depthwise};
use super::init::ParamInit;
use super::layer_norm::LayerNorm;
use super::mobile_one::{
    BlockShape, ConvNorm, LARGE, MobileOneBlock, PointConv, ReparamLargeKernelConv, SqueezeExcite, gelu, reduced,
};
use crate::config::MciConfig;

/// Channels of an attention head.
const HEAD_WIDTH: usize = 32;
/// Kernel size of the token mixers.
const SMALL: usize = 3;

/// Downsampling between two stages.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// A strided large-kernel convolution, then a pointwise one.
    pub proj: (ReparamLargeKernelConv, MobileOneBlock),
}

/// A learned gain for each channel.
#[derive(Module, Debug)]
pub struct LayerScale2d {
    /// `[channels, 1, 1]`
    pub gamma: Param<Tensor<3>>,
}

impl LayerScale2d {
    fn init(channels: usize, init: &mut ParamInit<'_>) -> Self {
        Self { gamma: init.constant([channels, 1, 1], 1e-5) }
    }

    fn val(&self) -> Tensor<4> {
        kernels::to_f32(self.gamma.val()).unsqueeze::<4>() // [1, c, 1, 1]
    }
}

/// Token mixing by convolution.
#[derive(Module, Debug)]
pub struct RepMixer {
    /// Batch norm without convolutions.
    pub norm: MobileOneBlock,
    /// Convolutions.
    pub mixer: MobileOneBlock,
    /// Gain of `mixer - norm`.
    pub layer_scale: LayerScale2d,
}

impl RepMixer {
    /// Computes `x + gain (mixer(x) - norm(x))` as one convolution.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (Some((mixer, mixer_bias)), Some((norm, norm_bias))) = (self.mixer.fused(), self.norm.fused()) else {
            return x;
        };
        let [channels, ..] = mixer.dims();
        let gain = kernels::to_f32(self.layer_scale.gamma.val());
        let kernel = (mixer - norm) * gain.clone().reshape([channels, 1, 1, 1]);
        let bias = (mixer_bias - norm_bias) * gain.reshape([channels]);
        x.clone() + depthwise(x, kernel, bias, 1)
    }
}

/// A depthwise convolution followed by an MLP over the channels.
#[derive(Module, Debug)]
pub struct ConvMlp {
    /// Depthwise 7×7.
    pub conv: ConvNorm,
    /// Expands the channels.
    pub fc1: PointConv,
    /// Reduces them again.
    pub fc2: PointConv,
}

impl ConvMlp {
    fn init(channels: usize, hidden: usize, init: &mut ParamInit<'_>) -> Self {
        Self {
            conv: ConvNorm::init([channels, 1, LARGE], 1, init),
            fc1: PointConv::init(hidden, channels, init),
            fc2: PointConv::init(channels, hidden, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (kernel, bias) = self.conv.fused(LARGE);
        self.fc2.forward(gelu(self.fc1.forward(depthwise(x, kernel, bias, 1))))
    }
}

/// Norm before the attention.
#[derive(Module, Debug)]
pub enum Norm2d {
    /// Over the batch: MCi0 to MCi2.
    Batch(BatchNorm2d),
    /// Over the channels: MCi3 and MCi4.
    Layer(LayerNorm),
}

impl Norm2d {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward(x),
            Self::Layer(norm) => {
                let channels_last = x.permute([0, 2, 3, 1]); // [n, h, w, c]
                norm.forward(channels_last).permute([0, 3, 1, 2])
            }
        }
    }
}

/// Self-attention over pixels, with weights in PyTorch's layout.
#[derive(Module, Debug)]
pub struct PixelAttention {
    /// `[3 * channels, channels]`, without bias.
    pub qkv: OutIn,
    /// `[channels, channels]`
    pub proj: OutIn,
}

/// A linear layer in the layout of `nn.Linear`.
#[derive(Module, Debug)]
pub struct OutIn {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl OutIn {
    fn init(out: usize, input: usize, bias: bool, init: &mut ParamInit<'_>) -> Self {
        Self { weight: init.normal([out, input], 0.02), bias: bias.then(|| init.constant([out], 0.0)) }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        kernels::linear(x, self.weight.val().transpose(), self.bias.as_ref().map(Param::val))
    }
}

impl PixelAttention {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let tokens = x.reshape([batch, channels, height * width]).swap_dims(1, 2); // [n, h w, c]
        let mixed = kernels::attention(self.qkv.forward(tokens), channels / HEAD_WIDTH, false);
        self.proj.forward(mixed).swap_dims(1, 2).reshape([batch, channels, height, width])
    }
}

/// A block of a stage.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few dozen in a model")]
pub enum MciBlock {
    /// With token mixing by convolution.
    RepMixer(RepMixerBlock),
    /// With token mixing by attention.
    Attention(AttentionBlock),
}

/// Convolutions, then an MLP.
#[derive(Module, Debug)]
pub struct RepMixerBlock {
    /// Over pixels.
    pub token_mixer: RepMixer,
    /// Over channels.
    pub mlp: ConvMlp,
    /// Gain of the MLP.
    pub layer_scale: LayerScale2d,
}

/// Attention, then an MLP.
#[derive(Module, Debug)]
pub struct AttentionBlock {
    /// Before the attention.
    pub norm: Norm2d,
    /// Over pixels.
    pub token_mixer: PixelAttention,
    /// Gain of the attention.
    pub layer_scale_1: LayerScale2d,
    /// Over channels.
    pub mlp: ConvMlp,
    /// Gain of the MLP.
    pub layer_scale_2: LayerScale2d,
}

impl MciBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::RepMixer(block) => {
                let x = block.token_mixer.forward(x);
                x.clone() + block.mlp.forward(x) * block.layer_scale.val()
            }
            Self::Attention(block) => {
                let mixed = block.token_mixer.forward(block.norm.forward(x.clone()));
                let x = x + mixed * block.layer_scale_1.val();
                x.clone() + block.mlp.forward(x) * block.layer_scale_2.val()
            }
        }
    }
}

/// Conditional positional encoding by a depthwise convolution with bias (arXiv 2102.10882).
#[derive(Module, Debug)]
pub struct RepConditionalPosEnc {
    /// 7×7: `[channels, 1, 7, 7]` and `[channels]`.
    pub pos_enc: PointConv,
}

/// Blocks at one resolution.
#[derive(Module, Debug)]
pub struct FastVitStage {
    /// Downsampling from the previous stage; `None` for the first stage.
    pub downsample: Option<PatchEmbed>,
    /// Positional encoding, in stages with attention.
    pub pos_emb: Option<RepConditionalPosEnc>,
    /// Blocks, first to last.
    pub blocks: Vec<MciBlock>,
}

impl FastVitStage {
    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        if let Some(PatchEmbed { proj: (large, point) }) = &self.downsample {
            x = point.forward(large.forward(x));
        }
        if let Some(RepConditionalPosEnc { pos_enc }) = &self.pos_emb {
            x = x.clone() + depthwise(x, kernels::to_f32(pos_enc.weight.val()), pos_enc.bias.val(), 1);
        }
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}

/// The projection into the shared space.
#[derive(Module, Debug)]
pub struct ClassifierHead {
    /// `[embed_dim, channels]` and `[embed_dim]`
    pub fc: OutIn,
}

/// The tower.
#[derive(Module, Debug)]
pub struct Mci {
    /// Reduces height and width to a quarter.
    pub stem: Vec<MobileOneBlock>,
    /// Stages, each at half the resolution of the one before.
    pub stages: Vec<FastVitStage>,
    /// Doubles the channels.
    pub final_conv: MobileOneBlock,
    /// Projection of the pixels' mean.
    pub head: ClassifierHead,
}

impl Mci {
    /// Fresh parameters.
    pub fn init(config: &MciConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        let first = config.widths[0];
        let shape = |input, out, kernel, stride, depthwise| BlockShape { input, out, kernel, stride, depthwise };
        let stem =
            [shape(3, first, SMALL, 2, false), shape(first, first, SMALL, 2, true), shape(first, first, 1, 1, false)];
        let stem = stem.map(|shape| MobileOneBlock::init(shape, config.stem_scale, init)).into();
        let stages = (0..config.layers.len()).map(|i| Self::stage(config, i, init)).collect();
        let last = config.widths[config.widths.len() - 1];
        let mut final_conv = MobileOneBlock::init(shape(last, 2 * last, SMALL, 1, true), true, init);
        final_conv.se = Some(SqueezeExcite::init(2 * last, reduced(2 * last, 16, 1), init));
        Self { stem, stages, final_conv, head: ClassifierHead { fc: OutIn::init(embed_dim, 2 * last, true, init) } }
    }

    fn stage(config: &MciConfig, index: usize, init: &mut ParamInit<'_>) -> FastVitStage {
        let (stages, width) = (config.layers.len(), config.widths[index]);
        let hidden = width * config.mlp_ratio;
        let with_attention = index + config.attention_stages >= stages;
        let downsample = (index > 0).then(|| {
            let before = config.widths[index - 1];
            let se = (index + config.squeeze_stages >= stages)
                .then(|| SqueezeExcite::init(width, reduced(width, 4, 8), init));
            let large_conv = ConvNorm::init([width, 1, LARGE], 2, init);
            let small_conv = ConvNorm::init([width, 1, SMALL], 2, init);
            debug_assert!(width.is_multiple_of(before));
            let point = BlockShape { input: width, out: width, kernel: 1, stride: 1, depthwise: false };
            let point = MobileOneBlock::init(point, true, init);
            PatchEmbed { proj: (ReparamLargeKernelConv { large_conv, small_conv, se }, point) }
        });
        let pos_emb = with_attention.then(|| RepConditionalPosEnc {
            pos_enc: PointConv {
                weight: init.uniform([width, 1, LARGE, LARGE], 1.0 / LARGE as f64),
                bias: init.constant([width], 0.0),
            },
        });
        let mut block = || {
            if with_attention {
                return MciBlock::Attention(AttentionBlock {
                    norm: match config.layer_norm {
                        true => Norm2d::Layer(LayerNorm::init(width, 1e-5, init)),
                        false => Norm2d::Batch(BatchNorm2d::init(width, init)),
                    },
                    token_mixer: PixelAttention {
                        qkv: OutIn::init(3 * width, width, false, init),
                        proj: OutIn::init(width, width, true, init),
                    },
                    layer_scale_1: LayerScale2d::init(width, init),
                    mlp: ConvMlp::init(width, hidden, init),
                    layer_scale_2: LayerScale2d::init(width, init),
                });
            }
            let shape = BlockShape { input: width, out: width, kernel: SMALL, stride: 1, depthwise: true };
            let mut norm = MobileOneBlock::init(shape, false, init);
            norm.conv_kxk.clear();
            MciBlock::RepMixer(RepMixerBlock {
                token_mixer: RepMixer {
                    norm,
                    mixer: MobileOneBlock::init(shape, true, init),
                    layer_scale: LayerScale2d::init(width, init),
                },
                mlp: ConvMlp::init(width, hidden, init),
                layer_scale: LayerScale2d::init(width, init),
            })
        };
        FastVitStage { downsample, pos_emb, blocks: (0..config.layers[index]).map(|_| block()).collect() }
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let x = self.stem.iter().fold(pixels, |x, block| block.forward(x));
        let x = self.stages.iter().fold(x, |x, stage| stage.forward(x));
        let x = self.final_conv.forward(x);
        let [batch, channels, ..] = x.dims();
        let pooled = x.mean_dim(3).mean_dim(2).reshape([batch, 1, channels]); // [n, 1, c]
        let projected = self.head.fc.forward(pooled); // [n, 1, embed_dim]
        let [_, _, embed_dim] = projected.dims();
        projected.reshape([batch, embed_dim])
    }
}
