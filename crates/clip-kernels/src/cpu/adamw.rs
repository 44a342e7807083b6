//! One step of AdamW.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::parallel::split_three;
use super::with_values;
use crate::ops::adamw::{AdamWRates, FusedAdamW};

/// Time of one value, in multiply-adds.
const WORK: usize = 8;

impl FusedAdamW for Flex {
    fn fused_adamw(
        value: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        rates: AdamWRates,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        // in place of the moments and the gradient, unless other tensors share them
        let [mut new, mut first, mut second] = [gradient, first, second].map(contiguous);
        with_values(&value, |values| {
            let out = [new.storage_mut(), first.storage_mut(), second.storage_mut()];
            split_three(WORK * values.len(), out, 16, |at, [new, first, second]| {
                step(&values[at..], new, first, second, rates);
            });
        });
        (new, first, second)
    }
}

/// Makes a tensor contiguous. It takes the tensor, because a second handle would make `storage_mut` copy.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// Replaces a slice of the gradient by the new values, and both moments by those after the step.
#[cfg_attr(not(target_arch = "wasm32"), multiversion::multiversion(targets = "simd"))]
fn step(values: &[f32], new: &mut [f32], first: &mut [f32], second: &mut [f32], rates: AdamWRates) {
    let AdamWRates { gradient_scale: scale, step_size, bias_correction_2_sqrt, epsilon, decay_factor, .. } = rates;
    for (((x, new), m), v) in values.iter().zip(new).zip(first).zip(second) {
        let g = *new * scale;
        *m = *m * rates.beta_1 + g * rates.one_minus_beta_1;
        *v = *v * rates.beta_2 + g * g * rates.one_minus_beta_2;
        *new = x * decay_factor - *m * step_size / (v.sqrt() / bias_correction_2_sqrt + epsilon);
    }
}
