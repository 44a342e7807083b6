//! One step of AdamW.

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::launch::{empty, launch_by_values};
use super::wgsl::adamw::AdamW;
use crate::ops::adamw::{AdamWRates, FusedAdamW};

impl FusedAdamW for Cube {
    fn fused_adamw(
        value: CubeTensor,
        gradient: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        rates: AdamWRates,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let inputs = [value, gradient, first, second].map(into_contiguous);
        let outputs = [(); 3].map(|()| empty(&inputs[0], inputs[0].meta.shape().clone()));
        // in the order of the fields, as the shader reads them
        let scalars = [
            rates.gradient_scale,
            rates.beta_1,
            rates.one_minus_beta_1,
            rates.beta_2,
            rates.one_minus_beta_2,
            rates.step_size,
            rates.bias_correction_2_sqrt,
            rates.epsilon,
            rates.decay_factor,
        ];
        launch_by_values(AdamW, &inputs.each_ref(), &outputs.each_ref(), &scalars);
        outputs.into()
    }
}
