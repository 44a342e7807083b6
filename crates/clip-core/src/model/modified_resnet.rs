//! CLIP's ResNet (arXiv 2103.00020, section 2.4): a stem of three convolutions, antialiased strides, attention pooling.
//!
//! Source: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L10-L152>. Batch norm uses the statistics of
//! the checkpoint: this tower encodes and is not trained here.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Tensor, activation::relu};
use clip_kernels as kernels;

use super::attention::attend;
use super::conv::{BatchNorm2d, Conv2d};
use super::init::ParamInit;
use crate::config::ResNetConfig;

/// Ratio of a block's output width to its inner width.
const EXPANSION: usize = 4;

/// Average pooling over windows of `size` × `size` pixels.
fn average_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let (height, width) = (height / size, width / size);
    x.reshape([batch, channels, height, size, width, size]) // [n, c, y, py, x, px]
        .mean_dim(5)
        .mean_dim(3)
        .reshape([batch, channels, height, width])
}

/// The skip connection of a block whose input and output differ in shape. In checkpoints `0` is the convolution, `1` the norm.
#[derive(Module, Debug)]
pub struct Downsample {
    /// 1×1 convolution, after pooling.
    pub conv: Conv2d,
    /// Its norm.
    pub bn: BatchNorm2d,
}

/// 1×1, 3×3 and 1×1 convolutions with a residual; strides are average pools.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// 1×1.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm2d,
    /// 3×3.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm2d,
    /// 1×1.
    pub conv3: Conv2d,
    /// After `conv3`.
    pub bn3: BatchNorm2d,
    /// Skip connection, if input and output differ in shape.
    pub downsample: Option<Downsample>,
    /// Stride, by average pooling.
    pub stride: usize,
}

impl Bottleneck {
    fn init(input: usize, planes: usize, stride: usize, init: &mut ParamInit<'_>) -> Self {
        let output = planes * EXPANSION;
        Self {
            conv1: Conv2d::init([planes, input, 1], 1, init),
            bn1: BatchNorm2d::init(planes, init),
            conv2: Conv2d::init([planes, planes, 3], 1, init),
            bn2: BatchNorm2d::init(planes, init),
            conv3: Conv2d::init([output, planes, 1], 1, init),
            bn3: BatchNorm2d::init(output, init),
            downsample: (stride > 1 || input != output).then(|| Downsample {
                conv: Conv2d::init([output, input, 1], 1, init),
                bn: BatchNorm2d::init(output, init),
            }),
            stride,
        }
    }

    fn pooled(&self, x: Tensor<4>) -> Tensor<4> {
        if self.stride > 1 { average_pool(x, self.stride) } else { x }
    }

    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, 4 * planes, height / stride, width / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let y = relu(self.bn2.forward(self.conv2.forward(y)));
        let y = self.bn3.forward(self.conv3.forward(self.pooled(y)));
        let around = match &self.downsample {
            Some(down) => down.bn.forward(down.conv.forward(self.pooled(x))),
            None => x,
        };
        relu(y + around)
    }
}

/// Attention pooling: the mean of all pixels is the query (`AttentionPool2d`).
#[derive(Module, Debug)]
pub struct AttentionPool2d {
    /// `[1 + pixels, width]`; row 0 is the mean's.
    pub positional_embedding: Param<Tensor<2>>,
    /// Keys.
    pub k_proj: Linear,
    /// Queries.
    pub q_proj: Linear,
    /// Values.
    pub v_proj: Linear,
    /// Projection into the shared space.
    pub c_proj: Linear,
    /// Number of heads.
    pub heads: usize,
}

impl AttentionPool2d {
    fn init(pixels: usize, width: usize, embed_dim: usize, heads: usize, init: &mut ParamInit<'_>) -> Self {
        let std = (width as f64).powf(-0.5);
        let mut linear =
            |out: usize| Linear { weight: init.normal([width, out], std), bias: Some(init.constant([out], 0.0)) };
        let (k_proj, q_proj, v_proj, c_proj) = (linear(width), linear(width), linear(width), linear(embed_dim));
        let positional_embedding = init.normal([1 + pixels, width], std);
        Self { positional_embedding, k_proj, q_proj, v_proj, c_proj, heads }
    }

    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: `[batch, embed_dim]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let [batch, channels, height, width] = x.dims();
        let pixels = x.reshape([batch, channels, height * width]).swap_dims(1, 2); // [n, h w, c]
        let tokens = Tensor::cat(vec![pixels.clone().mean_dim(1), pixels], 1); // [n, 1 + h w, c]
        let tokens = tokens + kernels::to_f32(self.positional_embedding.val()).unsqueeze::<3>();
        let project = |x: Tensor<3>, by: &Linear| kernels::linear(x, by.weight.val(), by.bias.as_ref().map(Param::val));
        let query = project(tokens.clone().narrow(1, 0, 1), &self.q_proj); // [n, 1, c]
        let keys_values = Tensor::cat(vec![project(tokens.clone(), &self.k_proj), project(tokens, &self.v_proj)], 2); // [n, 1 + h w, 2 c]
        let pooled = project(attend(query, keys_values, self.heads), &self.c_proj); // [n, 1, embed_dim]
        let [_, _, embed_dim] = pooled.dims();
        pooled.reshape([batch, embed_dim])
    }
}

/// The tower. Fields are named by the published state-dict keys.
#[derive(Module, Debug)]
pub struct ModifiedResNet {
    /// Stem: 3×3, stride 2.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm2d,
    /// Stem: 3×3.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm2d,
    /// Stem: 3×3.
    pub conv3: Conv2d,
    /// After `conv3`.
    pub bn3: BatchNorm2d,
    /// First stage.
    pub layer1: Vec<Bottleneck>,
    /// Second stage, at half the resolution.
    pub layer2: Vec<Bottleneck>,
    /// Third stage.
    pub layer3: Vec<Bottleneck>,
    /// Fourth stage.
    pub layer4: Vec<Bottleneck>,
    /// Pooling and projection.
    pub attnpool: AttentionPool2d,
}

impl ModifiedResNet {
    /// Fresh parameters.
    pub fn init(config: &ResNetConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        let width = config.width;
        let mut input = width;
        let mut stage = |index: usize, init: &mut ParamInit<'_>| -> Vec<Bottleneck> {
            let planes = width << index;
            (0..config.layers[index])
                .map(|block| {
                    let stride = if index > 0 && block == 0 { 2 } else { 1 };
                    let bottleneck = Bottleneck::init(input, planes, stride, init);
                    input = planes * EXPANSION;
                    bottleneck
                })
                .collect()
        };
        Self {
            conv1: Conv2d::init([width / 2, 3, 3], 2, init),
            bn1: BatchNorm2d::init(width / 2, init),
            conv2: Conv2d::init([width / 2, width / 2, 3], 1, init),
            bn2: BatchNorm2d::init(width / 2, init),
            conv3: Conv2d::init([width, width / 2, 3], 1, init),
            bn3: BatchNorm2d::init(width, init),
            layer1: stage(0, init),
            layer2: stage(1, init),
            layer3: stage(2, init),
            layer4: stage(3, init),
            attnpool: AttentionPool2d::init(
                (config.image_size / 32).pow(2),
                config.out_width(),
                embed_dim,
                config.heads,
                init,
            ),
        }
    }

    /// # Shapes
    /// - pixels: `[batch, 3, size, size]`, normalised
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.conv1.forward(pixels)));
        let x = relu(self.bn2.forward(self.conv2.forward(x)));
        let x = average_pool(relu(self.bn3.forward(self.conv3.forward(x))), 2);
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        let x = stages.into_iter().flatten().fold(x, |x, block| block.forward(x));
        self.attnpool.forward(x)
    }
}
