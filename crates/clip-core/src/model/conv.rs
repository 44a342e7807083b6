//! Convolutions as matrix products and sums of shifted images: the GPU needs no kernel of its own for them.

use burn::module::{Module, Param};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, s};
use clip_kernels as kernels;

use super::init::ParamInit;

/// PyTorch's default, which no published model changes.
const BATCH_NORM_EPS: f64 = 1e-5;

/// A convolution without bias.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, kernel, kernel]`
    pub weight: Param<Tensor<4>>,
    /// Pixels from one output to the next.
    pub stride: usize,
}

impl Conv2d {
    /// Fresh parameters: nn.Conv2d's defaults. `sides` are out, in and kernel.
    pub fn init([out, input, kernel]: [usize; 3], stride: usize, init: &mut ParamInit<'_>) -> Self {
        let bound = ((input * kernel * kernel) as f64).powf(-0.5);
        Self { weight: init.uniform([out, input, kernel, kernel], bound), stride }
    }

    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, out, height / stride, width / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [out, input, kernel, _] = self.weight.shape().dims();
        let [batch, _, height, width] = x.dims();
        let (height, width) = (height.div_ceil(self.stride), width.div_ceil(self.stride));
        let weight = kernels::to_f32(self.weight.val()).reshape([1, out, input * kernel * kernel]); // [1, out, in k k]
        // im2col: each pixel's neighbourhood is a column of one matrix
        let columns = if kernel == 1 && self.stride == 1 {
            x.reshape([batch, input, height * width]) // [n, in, h w]
        } else {
            let images = shifted(x, kernel, self.stride).map(|x| x.reshape([batch, input, 1, height * width]));
            Tensor::cat(images.collect(), 2) // [n, in, k k, h w]
                .reshape([batch, input * kernel * kernel, height * width]) // [n, in k k, h w]
        };
        kernels::matmul(weight, columns).reshape([batch, out, height, width])
    }
}

/// Batch norm (arXiv 1502.03167) with the statistics of the checkpoint.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// Gain, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Bias, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of each channel.
    pub running_mean: Param<Tensor<1>>,
    /// Variance of each channel.
    pub running_var: Param<Tensor<1>>,
}

impl BatchNorm2d {
    /// Gain and variance one, bias and mean zero.
    pub fn init(channels: usize, init: &mut ParamInit<'_>) -> Self {
        Self {
            weight: init.constant([channels], 1.0),
            bias: init.constant([channels], 0.0),
            running_mean: init.constant([channels], 0.0),
            running_var: init.constant([channels], 1.0),
        }
    }

    /// Gain and bias that do the same.
    ///
    /// # Shapes
    /// - output: `[channels]` each
    pub fn scale_and_shift(&self) -> (Tensor<1>, Tensor<1>) {
        let scale = self.weight.val() / (self.running_var.val() + BATCH_NORM_EPS).sqrt();
        let shift = self.bias.val() - self.running_mean.val() * scale.clone();
        (scale, shift)
    }

    /// # Shapes
    /// - x, output: `[batch, channels, height, width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [channels] = self.weight.shape().dims();
        let (scale, shift) = self.scale_and_shift();
        x * scale.reshape([1, channels, 1, 1]) + shift.reshape([1, channels, 1, 1])
    }
}

/// An image shifted to every place of a kernel, zeros around it.
///
/// # Shapes
/// - x: `[batch, channels, height, width]`
/// - output: `kernel²` times `[batch, channels, height / stride, width / stride]`, the kernel's rows one after another
fn shifted(x: Tensor<4>, kernel: usize, stride: usize) -> impl Iterator<Item = Tensor<4>> {
    let [_, _, height, width] = x.dims();
    let last = [height.div_ceil(stride) - 1, width.div_ceil(stride) - 1].map(|side| side * stride);
    let (edge, step) = (kernel / 2, stride as isize);
    let x = x.pad((edge, edge, edge, edge), PadMode::Constant(0.0));
    (0..kernel * kernel).map(move |i| {
        let (top, left) = (i / kernel, i % kernel);
        x.clone().slice(s![.., .., top..top + last[0] + 1;step, left..left + last[1] + 1;step])
    })
}

/// A convolution that keeps channels apart. With more kernels than channels, each channel has several in a row.
///
/// # Shapes
/// - x: `[batch, in, height, width]`; weight: `[out, 1, kernel, kernel]`, `out` a multiple of `in`; bias: `[out]`
/// - output: `[batch, out, height / stride, width / stride]`
pub(super) fn depthwise(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, stride: usize) -> Tensor<4> {
    let [batch, input, height, width] = x.dims();
    let [out, _, kernel, _] = weight.dims();
    let x = if out == input {
        x
    } else {
        let each = out / input;
        x.reshape([batch, input, 1, height, width]) // [n, in, 1, h, w]
            .expand([batch, input, each, height, width])
            .reshape([batch, out, height, width]) // [n, out, h, w]
    };
    let weight = weight.reshape([1, out, kernel * kernel, 1]); // [1, out, k k, 1]
    let bias = bias.reshape([1, out, 1, 1]);
    shifted(x, kernel, stride)
        .enumerate()
        .fold(None, |sum: Option<Tensor<4>>, (i, image)| {
            let term = image * weight.clone().narrow(2, i, 1);
            Some(match sum {
                Some(sum) => sum + term,
                None => term + bias.clone(),
            })
        })
        .unwrap_or_else(|| bias.clone())
}
