//! Precisions: casts to and from half precision (f16 and bf16), and weights as 8-bit integers with one scale for each output channel.
//!
//! An 8-bit weight takes a quarter of the memory, and on the CPU two thirds of the time. It is stored `[out, in]`, as in
//! checkpoints. Activations stay nearly exact: 12 to 16 bits on the CPU, f32 on a GPU.

use burn::tensor::quantization::{QuantScheme, QuantValue, ScaleDtype};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};

/// Rows of a quantized weight have a multiple of this many values: the CPU's kernel takes so many at a time.
pub(crate) const QUANT_STEP: usize = 8;
/// Largest quantized value.
pub(crate) const QUANT_MAX: usize = 127;

/// Casts to f32; dequantizes an 8-bit weight and transposes it to `[in, out]`.
///
/// # Shapes
/// - output: `[in, out]` for a quantized weight, else as `x`
pub fn to_f32<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_quantized(&x) { x.dequantize().transpose() } else { x.cast(FloatDType::F32) }
}

/// The half precision of a tensor, if it has one.
pub(crate) fn half_of<const D: usize>(x: &Tensor<D>) -> Option<FloatDType> {
    match x.dtype() {
        DType::F16 => Some(FloatDType::F16),
        DType::BF16 => Some(FloatDType::BF16),
        _ => None,
    }
}

/// Casts to `half`, if there is one.
pub(crate) fn to_half<const D: usize>(half: Option<FloatDType>, x: Tensor<D>) -> Tensor<D> {
    match half {
        Some(half) => x.cast(half),
        None => x,
    }
}

/// Computes `f` in f32 and returns its result in the precision of `x`: for what overflows or loses too much in half precision.
pub(crate) fn in_f32<const D: usize>(x: Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    match half_of(&x) {
        Some(half) => f(to_f32(x)).cast(half),
        None => f(x),
    }
}

/// Quantizes a weight symmetrically to 8-bit integers, with one scale a row. `None` if `width` is not a multiple of 8.
///
/// # Shapes
/// - values: `[out, in]`, `in` being `width`
/// - output: the same
pub fn quantize(values: &[f32], width: usize) -> Option<TensorData> {
    let block = block_len(width)?;
    let scheme = QuantScheme::default().with_value(QuantValue::Q8S).per_block([1, block as u8], ScaleDtype::F32);
    let mut scales = Vec::with_capacity(values.len() / block);
    let mut quantized = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let (scale, inverse) = scale_of(row, QUANT_MAX as f32);
        scales.extend(std::iter::repeat_n(scale, width / block));
        quantized.extend(row.iter().map(|x| (x * inverse).round_ties_even() as i8));
    }
    Some(TensorData::quantized(quantized, [values.len() / width, width], scheme, &scales, None))
}

/// Length of Burn's quantization blocks for rows of `width`: the largest multiple of 8 that divides it and fits a byte, in which Burn
/// stores the length. Most rows have several blocks, all with the row's scale.
fn block_len(width: usize) -> Option<usize> {
    (QUANT_STEP..=usize::from(u8::MAX)).step_by(QUANT_STEP).filter(|block| width.is_multiple_of(*block)).last()
}

/// Scale that maps the largest magnitude of `row` to `max`, and its inverse. NaN if the row has a non-finite value, so that it
/// propagates.
pub(crate) fn scale_of(row: &[f32], max: f32) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut largest, mut nan) = ([0f32; LANES], [0f32; LANES]);
    for eight in row.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            let size = eight[i].abs();
            largest[i] = if size > largest[i] { size } else { largest[i] };
            nan[i] += eight[i] * 0.0;
        }
    }
    let scale = largest.into_iter().fold(0f32, f32::max) / max + nan.into_iter().sum::<f32>();
    (scale, if scale > 0.0 { scale.recip() } else { 0.0 })
}

/// Whether a weight consists of 8-bit integers.
pub fn is_quantized<const D: usize>(weight: &Tensor<D>) -> bool {
    matches!(weight.dtype(), DType::QFloat(_))
}

/// Dimensions of a weight as `[in, out]`, whether it is quantized (and stored `[out, in]`) or not.
pub fn weight_dims<const D: usize>(weight: &Tensor<D>) -> [usize; D] {
    let mut dims = weight.dims();
    if is_quantized(weight) {
        dims.reverse();
    }
    dims
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn dequantized_values_are_within_half_a_step() {
        let values: Vec<f32> = (0..3 * 320).map(|i| (i * 7919 % 2003) as f32 / 500.0 - 2.0).collect();
        let weight = Tensor::<2>::from_data(quantize(&values, 320).unwrap(), &Device::flex());
        assert!(is_quantized(&weight));
        assert_eq!((weight.dims(), weight_dims(&weight)), ([3, 320], [320, 3]));
        let dequantized = to_f32(weight);
        assert_eq!(dequantized.dims(), [320, 3]);
        let dequantized: Vec<f32> = dequantized.transpose().into_data().try_to_vec().unwrap();
        for (row, dequantized) in values.chunks(320).zip(dequantized.chunks(320)) {
            let step = row.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
            assert!(row.iter().zip(dequantized).all(|(a, b)| (a - b).abs() <= 0.5001 * step));
        }
    }

    #[test]
    fn block_len_divides_the_width() {
        for (width, expected) in [(768, 192), (512, 128), (640, 160), (64, 64), (4304, 16), (8, 8)] {
            assert_eq!(block_len(width), Some(expected));
        }
        assert!([1, 4, 12, 37].iter().all(|&width| block_len(width).is_none()));
    }

    #[test]
    fn quantization_keeps_zeros_and_propagates_non_finite_values() {
        let mut values = vec![0.0; 24];
        values[9] = f32::NAN;
        values[20] = f32::INFINITY;
        let dequantized = to_f32(Tensor::<2>::from_data(quantize(&values, 8).unwrap(), &Device::flex()));
        let dequantized: Vec<f32> = dequantized.transpose().into_data().try_to_vec().unwrap();
        assert!(dequantized[..8].iter().all(|&x| x == 0.0));
        assert!(dequantized[8..].iter().all(|x| x.is_nan()));
    }
}
