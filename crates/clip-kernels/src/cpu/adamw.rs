//! A step of AdamW with nothing kept but its results.

use crate::AdamWRates;

/// Value and both moments after the step.
///
/// # Shapes
/// - `values`, `gradients`, `first`, `second`: as many of each
pub(super) fn step(
    values: &[f32],
    gradients: &[f32],
    first: &[f32],
    second: &[f32],
    rates: AdamWRates,
) -> [Vec<f32>; 3] {
    let AdamWRates { scale, beta_1, new_1, beta_2, new_2, rate, correction, epsilon, kept } = rates;
    let blend = |moment: f32, beta: f32, value: f32, new: f32| moment * beta + value * new;
    let first: Vec<f32> = first.iter().zip(gradients).map(|(&m, &g)| blend(m, beta_1, g * scale, new_1)).collect();
    let square = |g: f32| g * scale * (g * scale);
    let second: Vec<f32> = second.iter().zip(gradients).map(|(&v, &g)| blend(v, beta_2, square(g), new_2)).collect();
    let moments = first.iter().zip(&second);
    let update = |(&m, &v): (&f32, &f32)| m * rate / (v.sqrt() / correction + epsilon);
    let values = values.iter().zip(moments).map(|(&x, moments)| x * kept - update(moments)).collect();
    [values, first, second]
}
