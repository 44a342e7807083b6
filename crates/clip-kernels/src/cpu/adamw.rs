//! One step of AdamW.

use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};

use super::{tensor_from, with_values};
use crate::ops::adamw::{AdamWRates, FusedAdamW};

impl FusedAdamW for Flex {
    fn fused_adamw(
        value: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        rates: AdamWRates,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let new = with_values(&value, |x| {
            with_values(&gradient, |g| with_values(&first, |m| with_values(&second, |v| step(x, g, m, v, rates))))
        });
        new.map(|new| tensor_from(new, value.shape())).into()
    }
}

/// Value and both moments after the step, from slices of one length.
fn step(values: &[f32], gradients: &[f32], first: &[f32], second: &[f32], rates: AdamWRates) -> [Vec<f32>; 3] {
    let AdamWRates { gradient_scale: scale, step_size, bias_correction_2_sqrt, epsilon, decay_factor, .. } = rates;
    let blend = |moment: f32, beta: f32, value: f32, rest: f32| moment * beta + value * rest;
    let (beta, rest) = (rates.beta_1, rates.one_minus_beta_1);
    let first: Vec<f32> = first.iter().zip(gradients).map(|(&m, &g)| blend(m, beta, g * scale, rest)).collect();
    let (beta, rest) = (rates.beta_2, rates.one_minus_beta_2);
    let square = |g: f32| g * scale * (g * scale);
    let second: Vec<f32> = second.iter().zip(gradients).map(|(&v, &g)| blend(v, beta, square(g), rest)).collect();
    let moments = first.iter().zip(&second);
    let update = |(&m, &v): (&f32, &f32)| m * step_size / (v.sqrt() / bias_correction_2_sqrt + epsilon);
    let values = values.iter().zip(moments).map(|(&x, moments)| x * decay_factor - update(moments)).collect();
    [values, first, second]
}
