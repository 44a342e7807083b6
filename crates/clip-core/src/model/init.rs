//! Seeded initial values. They depend on the seed alone, not on the device or the platform.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Source of initial parameters, all drawn from one ChaCha8 stream.
pub struct ParamInit<'a> {
    rng: Option<ChaCha8Rng>,
    device: &'a Device,
    most_values: Option<usize>,
}

impl<'a> ParamInit<'a> {
    /// Starts the stream of a seed.
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self { rng: Some(ChaCha8Rng::seed_from_u64(seed)), device, most_values: None }
    }

    /// Leaves parameters uninitialised, for a model to be filled from a checkpoint. A token table of more than `most_values` is split.
    pub fn blank(device: &'a Device, most_values: Option<usize>) -> Self {
        Self { rng: None, device, most_values }
    }

    /// Largest number of values of a tensor, if the device has a limit.
    pub fn most_values(&self) -> Option<usize> {
        self.most_values
    }

    /// Device of the parameters.
    pub fn device(&self) -> &Device {
        self.device
    }

    fn fill<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut draw: impl FnMut(&mut ChaCha8Rng) -> f32,
    ) -> Param<Tensor<D>> {
        let Some(rng) = &mut self.rng else {
            let zeros = move |device: &Device, _| Tensor::zeros(shape, device);
            return Param::uninitialized(ParamId::new(), zeros, self.device.clone(), false, shape.into());
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw(rng)).collect();
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    /// Draws from N(0, `std`²).
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.fill(shape, |rng| {
            let x: f64 = StandardNormal.sample(rng);
            (x * std) as f32
        })
    }

    /// Draws from U(-`bound`, `bound`).
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.fill(shape, |rng| rng.random_range(-bound..bound) as f32)
    }

    /// Fills with one value.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.fill(shape, |_| value)
    }
}

/// Distributions of a block's matrices.
#[derive(Debug, Clone, Copy)]
pub enum BlockInit {
    /// PyTorch's defaults for `nn.MultiheadAttention` and `nn.Linear`, as in the image towers of OpenAI and OpenCLIP.
    PyTorch,
    /// Those of the text tower: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L299-L318>.
    Text {
        /// Number of blocks, which scales the output projections.
        layers: usize,
    },
}
