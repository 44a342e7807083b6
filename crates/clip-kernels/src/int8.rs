//! Weights as 8-bit integers, each output's with a scale: a quarter of the memory, and on the CPU two thirds of the time.
//!
//! Such a weight lies `[out, in]`, as checkpoints have it. What it is multiplied with is as good as whole: 12 to 16 bits on the
//! CPU, f32 on a GPU.

use burn::tensor::quantization::{QuantScheme, QuantValue, ScaleDtype};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};

/// Values that the CPU takes at a time: a row has a multiple of them.
pub(super) const STEP: usize = 8;
/// Largest value.
pub(super) const PEAK: usize = 127;

/// Length of the blocks that Burn is told of for rows of `width`, none where none divides them: it keeps the length in a byte, so
/// that most rows have several, all with the row's scale.
fn block(width: usize) -> Option<usize> {
    (STEP..=usize::from(u8::MAX)).step_by(STEP).filter(|block| width.is_multiple_of(*block)).last()
}

/// Rows of `width`, row by row, rounded to what their largest values allow; none where `width` is no multiple of eight.
///
/// # Shapes
/// - values: `[out, in]`
/// - output: the same, quantised
pub fn quantized(values: &[f32], width: usize) -> Option<TensorData> {
    let block = block(width)?;
    let scheme = QuantScheme::default().with_value(QuantValue::Q8S).per_block([1, block as u8], ScaleDtype::F32);
    let mut scales = Vec::with_capacity(values.len() / block);
    let mut rounded = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let (scale, inverse) = scale(row, PEAK as f32);
        scales.extend(std::iter::repeat_n(scale, width / block));
        rounded.extend(row.iter().map(|x| (x * inverse).round_ties_even() as i8));
    }
    Some(TensorData::quantized(rounded, [values.len() / width, width], scheme, &scales, None))
}

/// What an integer stands for where the largest of a row becomes `peak`, and its inverse. No number where the row has what is none:
/// all that comes of it is none, too.
pub(super) fn scale(row: &[f32], peak: f32) -> (f32, f32) {
    const LANES: usize = 8;
    let (mut largest, mut nothing) = ([0f32; LANES], [0f32; LANES]);
    for eight in row.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            let size = eight[i].abs();
            largest[i] = if size > largest[i] { size } else { largest[i] };
            nothing[i] += eight[i] * 0.0;
        }
    }
    let scale = largest.into_iter().fold(0f32, f32::max) / peak + nothing.into_iter().sum::<f32>();
    (scale, if scale > 0.0 { scale.recip() } else { 0.0 })
}

/// Whether a weight is kept so.
pub fn is_quantized<const D: usize>(weight: &Tensor<D>) -> bool {
    matches!(weight.dtype(), DType::QFloat(_))
}

/// Sides of a weight, however it is kept.
///
/// # Shapes
/// - weight: `[in, out]`, or quantised
/// - output: in, out
pub fn sides<const D: usize>(weight: &Tensor<D>) -> [usize; D] {
    let mut sides = weight.dims();
    if is_quantized(weight) {
        sides.reverse();
    }
    sides
}

/// A weight as it is computed with: what is kept in half precision or as integers is widened for the moment of its use.
///
/// # Shapes
/// - output: `[in, out]` where the weight is quantised, else as the weight
pub fn widen<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    if is_quantized(&weight) { weight.dequantize().transpose() } else { weight.cast(FloatDType::F32) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn values_come_back_to_half_a_step() {
        let values: Vec<f32> = (0..3 * 320).map(|i| (i * 7919 % 2003) as f32 / 500.0 - 2.0).collect();
        let weight = Tensor::<2>::from_data(quantized(&values, 320).unwrap(), &Device::flex());
        assert!(is_quantized(&weight));
        assert_eq!((weight.dims(), sides(&weight)), ([3, 320], [320, 3]));
        let back = widen(weight);
        assert_eq!(back.dims(), [320, 3]);
        let back: Vec<f32> = back.transpose().into_data().try_to_vec().unwrap();
        for (row, back) in values.chunks(320).zip(back.chunks(320)) {
            let step = row.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
            assert!(row.iter().zip(back).all(|(a, b)| (a - b).abs() <= 0.5001 * step));
        }
    }

    #[test]
    fn blocks_divide_their_rows() {
        for (width, expected) in [(768, 192), (512, 128), (640, 160), (64, 64), (4304, 16), (8, 8)] {
            assert_eq!(block(width), Some(expected));
        }
        assert!([1, 4, 12, 37].iter().all(|&width| block(width).is_none()));
    }

    #[test]
    fn zeros_stay_and_what_is_no_number_shows() {
        let mut values = vec![0.0; 24];
        values[9] = f32::NAN;
        values[20] = f32::INFINITY;
        let back = widen(Tensor::<2>::from_data(quantized(&values, 8).unwrap(), &Device::flex()));
        let back: Vec<f32> = back.transpose().into_data().try_to_vec().unwrap();
        assert!(back[..8].iter().all(|&x| x == 0.0));
        assert!(back[8..].iter().all(|x| x.is_nan()));
    }
}
