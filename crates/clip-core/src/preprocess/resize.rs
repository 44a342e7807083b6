//! Antialiased resampling, bit for bit as Pillow's.
//!
//! Source: <https://github.com/python-pillow/Pillow/blob/12.0.0/src/libImaging/Resample.c>, with the order of the passes
//! of Pillow 13.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::RgbImage;

/// Fraction bits of a weight: 32 minus 8 for the pixel and 2 for overshoot.
const PRECISION: u32 = 22;

/// Resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Cubic with a = -0.5.
    #[default]
    Bicubic,
    /// A triangle.
    Bilinear,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bilinear if x < 1.0 => 1.0 - x,
            _ => 0.0,
        }
    }
}

/// Input window of an output position: its start, and fixed-point weights.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// Windows of the output positions `part` of an axis that is resized from `input` to `output` pixels.
fn windows(input: usize, output: usize, part: Range<usize>, filter: Filter) -> Vec<Window> {
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    part.map(|i| {
        let center = (i as f64 + 0.5) * scale;
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        let weights: Vec<f64> = (start..end).map(|x| filter.weight((x as f64 - center + 0.5) / stretch)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |w: f64| {
            let w = if sum == 0.0 { w } else { w / sum } * f64::from(1 << PRECISION);
            (w + 0.5f64.copysign(w)) as i32
        };
        Window { start, weights: weights.into_iter().map(fixed).collect() }
    })
    .collect()
}

/// A rectangle of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    /// Columns.
    pub x: Range<usize>,
    /// Rows.
    pub y: Range<usize>,
}

/// Resizes an image to `width` × `height` and crops it, rounding to 8 bit after each pass. Only the crop is computed: the whole
/// of an image of one by thousands of pixels would not fit into memory.
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter, crop: &Crop) -> RgbImage {
    let columns = windows(image.width(), width, crop.x.clone(), filter);
    let rows = windows(image.height(), height, crop.y.clone(), filter);
    // Pillow 13 first resizes the height if it shrinks much more than the width
    let shrink = |from: usize, to: usize| from as i64 - to as i64;
    if height < image.height() && shrink(image.height(), height) > 2 * shrink(image.width(), width) {
        pass::<true>(&pass::<false>(image, &rows), &columns)
    } else {
        pass::<false>(&pass::<true>(image, &columns), &rows)
    }
}

/// Resamples along rows if `HORIZONTAL`, else along columns.
fn pass<const HORIZONTAL: bool>(image: &RgbImage, windows: &[Window]) -> RgbImage {
    let size = windows.len();
    let (width, height) = if HORIZONTAL { (size, image.height()) } else { (image.width(), size) };
    let stride = image.width() * 3;
    let data = image.data();
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let Window { start, weights } = &windows[if HORIZONTAL { x } else { y }];
            let (first, step) = if HORIZONTAL { (y * stride + start * 3, 3) } else { (start * stride + x * 3, stride) };
            for channel in 0..3 {
                let mut sum = 1i32 << (PRECISION - 1);
                for (i, weight) in weights.iter().enumerate() {
                    sum = sum.wrapping_add(i32::from(data[first + channel + i * step]).wrapping_mul(*weight));
                }
                out.push((sum >> PRECISION).clamp(0, 255) as u8);
            }
        }
    }
    RgbImage { width, height, data: out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_window_sum_to_one() {
        for (input, output) in [(1, 7), (7, 1), (640, 32), (32, 33), (300, 224)] {
            for filter in [Filter::Bicubic, Filter::Bilinear] {
                for window in windows(input, output, 0..output, filter) {
                    let sum: i32 = window.weights.iter().sum();
                    assert!((sum - (1 << PRECISION)).unsigned_abs() as usize <= window.weights.len());
                    assert!(window.start + window.weights.len() <= input);
                }
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat_and_resizing_to_the_same_size_copies() {
        let image = RgbImage::new(5, 3, [10, 20, 30].repeat(15)).unwrap();
        let whole = |width, height, filter| resize(&image, width, height, filter, &Crop { x: 0..width, y: 0..height });
        assert_eq!(whole(9, 7, Filter::Bicubic).data(), [10, 20, 30].repeat(63));
        assert_eq!(whole(5, 3, Filter::Bilinear), image);
    }

    #[test]
    fn a_crop_equals_that_of_the_whole_and_is_all_that_is_computed() {
        let data = (0..7 * 11 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let image = RgbImage::new(7, 11, data).unwrap();
        let whole = resize(&image, 5, 9, Filter::Bicubic, &Crop { x: 0..5, y: 0..9 });
        let part = resize(&image, 5, 9, Filter::Bicubic, &Crop { x: 1..4, y: 2..5 });
        let rows = (2..5).flat_map(|y| whole.data()[(y * 5 + 1) * 3..(y * 5 + 4) * 3].to_vec());
        assert_eq!(part.data(), rows.collect::<Vec<u8>>());
        // 224 × 3.6 million pixels as a whole
        let thread = RgbImage::new(1, 16_384, vec![9; 3 * 16_384]).unwrap();
        let middle = resize(&thread, 224, 224 * 16_384, Filter::Bicubic, &Crop { x: 0..224, y: 1000..1224 });
        assert_eq!(middle.data(), [9; 224 * 224 * 3]);
    }
}
