//! Sums of squares: the length of gradients.

/// Values that are added up side by side before they join the sum.
const LANES: usize = 16;
/// Values that are added up in single precision before they join one of double.
const PART: usize = 256 * LANES;

/// The sums, with the squares of x added to the first.
pub(super) fn add(sums: &[f32], x: &[f32]) -> Vec<f32> {
    let part = |x: &[f32]| {
        let mut lanes = [0f32; LANES];
        let (whole, rest) = x.as_chunks::<LANES>();
        for values in whole {
            lanes.iter_mut().zip(values).for_each(|(sum, x)| *sum += x * x);
        }
        lanes.iter().chain(&[rest.iter().map(|x| x * x).sum()]).map(|&sum| f64::from(sum)).sum::<f64>()
    };
    let all: f64 = x.chunks(PART).map(part).sum();
    let mut sums = sums.to_vec();
    if let Some(first) = sums.first_mut() {
        *first = (f64::from(*first) + all) as f32;
    }
    sums
}
