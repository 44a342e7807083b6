//! A step of AdamW in WGSL.

use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{Shader, by_values, empty};
use crate::AdamWRates;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AdamW;

impl Shader for AdamW {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec!["value", "gradient", "first", "second"], vec!["value_out", "first_out", "second_out"])
    }

    fn workgroup(&self) -> [u32; 3] {
        by_values::WORKGROUP
    }

    fn body(&self) -> String {
        // dims: the count, then AdamWRates in their order
        by_values::begin()
            + "let g = gradient[i] * bitcast<f32>(dims[1]);
               let m = first[i] * bitcast<f32>(dims[2]) + g * bitcast<f32>(dims[3]);
               let v = second[i] * bitcast<f32>(dims[4]) + g * g * bitcast<f32>(dims[5]);
               let denominator = sqrt(v) / bitcast<f32>(dims[7]) + bitcast<f32>(dims[8]);
               value_out[i] = value[i] * bitcast<f32>(dims[9]) - m * bitcast<f32>(dims[6]) / denominator;
               first_out[i] = m;
               second_out[i] = v;
"
    }
}

/// Value and both moments after the step, all of one shape.
pub(super) fn step(tensors: [CubeTensor; 4], rates: AdamWRates) -> [CubeTensor; 3] {
    let inputs = tensors.map(into_contiguous);
    let outputs = [(); 3].map(|()| empty(&inputs[0], inputs[0].meta.shape().clone()));
    let AdamWRates { scale, beta_1, new_1, beta_2, new_2, rate, correction, epsilon, kept } = rates;
    let rates = [scale, beta_1, new_1, beta_2, new_2, rate, correction, epsilon, kept];
    by_values::launch(AdamW, &inputs.each_ref(), &outputs.each_ref(), &rates);
    outputs
}
