//! Building blocks of MobileCLIP's image towers: parallel convolutions that are fused into one kernel (MobileOne, arXiv 2206.04040;
//! RepLKNet, arXiv 2203.06717), and squeeze-and-excitation (arXiv 1709.01507). Source and names: see `mci.rs`.

use burn::module::{Module, Param};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, activation};
use clip_kernels as kernels;

use super::conv::{BatchNorm2d, Conv2d, depthwise};
use super::init::ParamInit;

/// Size of the large kernels: downsampling, the MLPs' convolution, positional encoding.
pub(super) const LARGE: usize = 7;

pub(super) fn gelu(x: Tensor<4>) -> Tensor<4> {
    activation::gelu(x)
}

/// A convolution and its batch norm.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// Without bias.
    pub conv: Conv2d,
    /// Its norm.
    pub bn: BatchNorm2d,
}

impl ConvNorm {
    pub(super) fn init(sides: [usize; 3], stride: usize, init: &mut ParamInit<'_>) -> Self {
        Self { conv: Conv2d::init(sides, stride, init), bn: BatchNorm2d::init(sides[0], init) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(x))
    }

    /// Fuses both into one kernel of size `side` and a bias.
    ///
    /// # Shapes
    /// - output: `[out, in, side, side]` and `[out]`
    pub(super) fn fused(&self, side: usize) -> (Tensor<4>, Tensor<1>) {
        let [out, _, kernel, _] = self.conv.weight.shape().dims();
        let (scale, shift) = self.bn.scale_and_shift();
        let weight = kernels::to_f32(self.conv.weight.val()) * scale.reshape([out, 1, 1, 1]);
        let edge = (side - kernel) / 2;
        (weight.pad((edge, edge, edge, edge), PadMode::Constant(0.0)), shift)
    }
}

/// Squeeze-and-excitation: weights channels by a function of their means (arXiv 1709.01507).
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    /// Reduces the channels.
    pub fc1: PointConv,
    /// Expands them again.
    pub fc2: PointConv,
}

impl SqueezeExcite {
    pub(super) fn init(channels: usize, reduced: usize, init: &mut ParamInit<'_>) -> Self {
        Self { fc1: PointConv::init(reduced, channels, init), fc2: PointConv::init(channels, reduced, init) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mean = x.clone().mean_dim(3).mean_dim(2); // [n, c, 1, 1]
        let gate = self.fc2.forward(activation::relu(self.fc1.forward(mean)));
        x * activation::sigmoid(gate)
    }
}

/// A 1×1 convolution with bias.
#[derive(Module, Debug)]
pub struct PointConv {
    /// `[out, in, 1, 1]`
    pub weight: Param<Tensor<4>>,
    /// `[out]`
    pub bias: Param<Tensor<1>>,
}

impl PointConv {
    pub(super) fn init(out: usize, input: usize, init: &mut ParamInit<'_>) -> Self {
        let bound = (input as f64).powf(-0.5);
        Self { weight: init.uniform([out, input, 1, 1], bound), bias: init.constant([out], 0.0) }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [out, input, ..] = self.weight.shape().dims::<4>();
        let [batch, _, height, width] = x.dims();
        let weight = kernels::to_f32(self.weight.val()).reshape([1, out, input]); // [1, out, in]
        let y = kernels::matmul(weight, x.reshape([batch, input, height * width])); // [n, out, h w]
        (y + self.bias.val().reshape([1, out, 1])).reshape([batch, out, height, width])
    }
}

/// Parallel convolutions, as MobileOne trains them (arXiv 2206.04040).
#[derive(Module, Debug)]
pub struct MobileOneBlock {
    /// A batch norm alone, if input and output have the same shape.
    pub identity: Option<BatchNorm2d>,
    /// Branches with the full kernel.
    pub conv_kxk: Vec<ConvNorm>,
    /// Branch with a 1×1 kernel.
    pub conv_scale: Option<ConvNorm>,
    /// Squeeze-and-excitation of the sum.
    pub se: Option<SqueezeExcite>,
    /// Kernel size.
    pub kernel: usize,
    /// Stride in pixels.
    pub stride: usize,
    /// Whether the convolutions are depthwise.
    pub depthwise: bool,
}

/// Shape of a [`MobileOneBlock`].
#[derive(Clone, Copy)]
pub(super) struct BlockShape {
    pub(super) input: usize,
    pub(super) out: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) depthwise: bool,
}

impl MobileOneBlock {
    pub(super) fn init(shape: BlockShape, scale_branch: bool, init: &mut ParamInit<'_>) -> Self {
        let BlockShape { input, out, kernel, stride, depthwise } = shape;
        let sides = |kernel| [out, if depthwise { 1 } else { input }, kernel];
        Self {
            identity: (out == input && stride == 1).then(|| BatchNorm2d::init(input, init)),
            conv_kxk: vec![ConvNorm::init(sides(kernel), stride, init)],
            conv_scale: (kernel > 1 && scale_branch).then(|| ConvNorm::init(sides(1), stride, init)),
            se: None,
            kernel,
            stride,
            depthwise,
        }
    }

    /// Fuses the branches into one depthwise kernel and a bias; `None` without branches.
    ///
    /// # Shapes
    /// - output: `[out, 1, kernel, kernel]` and `[out]`
    pub(super) fn fused(&self) -> Option<(Tensor<4>, Tensor<1>)> {
        let branches = self.conv_kxk.iter().chain(&self.conv_scale).map(|branch| branch.fused(self.kernel));
        let identity = self.identity.as_ref().map(|bn| {
            let (scale, shift) = bn.scale_and_shift();
            let [channels] = scale.dims();
            let edge = self.kernel / 2;
            let center = scale.reshape([channels, 1, 1, 1]);
            (center.pad((edge, edge, edge, edge), PadMode::Constant(0.0)), shift)
        });
        branches.chain(identity).reduce(|(a, b), (c, d)| (a + c, b + d))
    }

    /// # Shapes
    /// - x: `[batch, in, height, width]`
    /// - output: `[batch, out, height / stride, width / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = match self.depthwise.then(|| self.fused()).flatten() {
            Some((kernel, bias)) => depthwise(x, kernel, bias, self.stride),
            None => {
                let branches = self.conv_kxk.iter().chain(&self.conv_scale).map(|branch| branch.forward(x.clone()));
                let identity = self.identity.as_ref().map(|bn| bn.forward(x.clone()));
                branches.chain(identity).reduce(|a, b| a + b).unwrap_or(x)
            }
        };
        gelu(match &self.se {
            Some(se) => se.forward(y),
            None => y,
        })
    }
}

/// A large and a small depthwise convolution in parallel, both with stride 2.
#[derive(Module, Debug)]
pub struct ReparamLargeKernelConv {
    /// 7×7.
    pub large_conv: ConvNorm,
    /// 3×3.
    pub small_conv: ConvNorm,
    /// Squeeze-and-excitation of the sum.
    pub se: Option<SqueezeExcite>,
}

impl ReparamLargeKernelConv {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let ((a, b), (c, d)) = (self.large_conv.fused(LARGE), self.small_conv.fused(LARGE));
        let y = depthwise(x, a + c, b + d, 2);
        gelu(match &self.se {
            Some(se) => se.forward(y),
            None => y,
        })
    }
}

/// Returns the channels between the two layers of a squeeze-and-excitation: `channels / share`, rounded to a multiple of `unit`.
pub(super) fn reduced(channels: usize, share: usize, unit: usize) -> usize {
    ((channels + share * unit / 2) / (share * unit) * unit).max(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make_divisible` of timm, for the widths that MCi has.
    #[test]
    fn squeezed_widths_equal_timm() {
        for (channels, expected) in [(256, 64), (512, 128), (320, 80), (640, 160), (32, 8), (64, 16), (40, 8), (48, 16)]
        {
            assert_eq!(reduced(channels, 4, 8), expected, "{channels}");
        }
        for (channels, expected) in [(1_024, 64), (1_280, 80), (128, 8), (72, 5)] {
            assert_eq!(reduced(channels, 16, 1), expected, "{channels}");
        }
    }
}
