//! An image in memory.

use super::Crop;
use super::decode::over_white;
use crate::error::{ClipError, Result};

/// An 8-bit RGB image, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) data: Vec<u8>,
}

impl RgbImage {
    /// Wraps RGB pixels.
    ///
    /// # Shapes
    /// - data: `[height, width, 3]`
    ///
    /// # Errors
    /// `shape-mismatch` for data of another length, or a side of 0.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        if width == 0 || height == 0 || expected != Some(data.len()) {
            return Err(ClipError::ShapeMismatch {
                what: "image".into(),
                expected: format!("[{height}, {width}, 3] with sides of 1 or more"),
                got: format!("{} bytes", data.len()),
            });
        }
        Ok(Self { width, height, data })
    }

    /// Converts raw pixels: gray, gray and alpha, RGB, or RGB and alpha, by the number of values; alpha is composited over white.
    ///
    /// # Shapes
    /// - data: `[height, width, 1 to 4]`
    ///
    /// # Errors
    /// `shape-mismatch` for data of another length, or a side of 0.
    pub fn from_raw(width: usize, height: usize, data: Vec<u8>) -> Result<Self> {
        let pixels = width.checked_mul(height).filter(|&pixels| pixels > 0);
        let fits = |channels: &usize| pixels.and_then(|pixels| pixels.checked_mul(*channels)) == Some(data.len());
        let rgb = match (1..=4).find(fits) {
            Some(1) => data.iter().flat_map(|&level| [level; 3]).collect(),
            Some(2) => data.chunks_exact(2).flat_map(|p| over_white([p[0], p[0], p[0], p[1]])).collect(),
            Some(3) => data,
            Some(_) => data.chunks_exact(4).flat_map(|p| over_white([p[0], p[1], p[2], p[3]])).collect(),
            None => {
                return Err(ClipError::ShapeMismatch {
                    what: "image".into(),
                    expected: format!("[{height}, {width}, 3] with sides of 1 or more, or 1, 2 or 4 values a pixel"),
                    got: format!("{} bytes", data.len()),
                });
            }
        };
        Self::new(width, height, rgb)
    }

    /// Width, in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels: `[height, width, 3]`.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns a part of the image.
    pub(super) fn part(&self, Crop { x, y }: &Crop) -> Self {
        let row = |y: usize| &self.data[3 * (y * self.width + x.start)..3 * (y * self.width + x.end)];
        Self { width: x.len(), height: y.len(), data: y.clone().flat_map(row).copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_pixels_have_one_to_four_values() {
        for (values, rgb) in [
            (&[0u8, 200][..], [0, 0, 0, 200, 200, 200]),
            (&[10, 255, 10, 0], [10, 10, 10, 255, 255, 255]),
            (&[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]),
            (&[1, 2, 3, 255, 4, 5, 6, 0], [1, 2, 3, 255, 255, 255]),
        ] {
            assert_eq!(RgbImage::from_raw(2, 1, values.to_vec()).unwrap().data(), rgb);
        }
    }
}
