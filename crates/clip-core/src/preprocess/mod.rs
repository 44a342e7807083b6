//! Preprocesses images for the image tower: decode, resize as Pillow does, crop, normalise.

#[cfg(feature = "train")]
mod augment;
mod config;
mod decode;
mod hf;
mod jpeg;
mod open_clip;
mod resize;
mod rgb_image;
mod unsupported;
mod webp;

use serde::{Deserialize, Serialize};

#[cfg(all(test, feature = "train"))]
pub(crate) use augment::sides;
#[cfg(feature = "train")]
pub use augment::{Augmentation, Augmenter};
pub use config::TransformFiles;
pub use decode::decode;
pub use resize::{Crop, Filter, resize};
pub use rgb_image::RgbImage;

use crate::error::{ClipError, Result};

/// How an image is resized to a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Resizes the shortest side to the size, then crops the centre.
    #[default]
    Shortest,
    /// Resizes both sides to the size, ignoring the aspect ratio.
    Squash,
    /// Resizes the longest side to the size, then pads both sides of the other.
    Longest,
}

/// Rounding of a centre crop's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropRounding {
    /// torchvision, which OpenAI and OpenCLIP use: half a pixel is rounded to even.
    #[default]
    Torchvision,
    /// Hugging Face: half a pixel is rounded down.
    Hf,
}

/// A checkpoint's image transform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the output, in pixels.
    pub size: usize,
    /// Side after resizing, before a crop to `size`; 0 in JSON means `size`.
    #[serde(default)]
    pub resize: usize,
    /// How images are resized.
    #[serde(default)]
    pub mode: ResizeMode,
    /// Resampling filter.
    #[serde(default)]
    pub filter: Filter,
    /// Rounding of the crop.
    #[serde(default)]
    pub crop: CropRounding,
    /// Level of the padding of [`ResizeMode::Longest`].
    #[serde(default)]
    pub fill: u8,
    /// Mean of each channel, of values from 0 to 1.
    #[serde(default = "clip_mean")]
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    #[serde(default = "clip_std")]
    pub std: [f32; 3],
}

fn clip_mean() -> [f32; 3] {
    [0.481_454_66, 0.457_827_5, 0.408_210_73]
}

fn clip_std() -> [f32; 3] {
    [0.268_629_54, 0.261_302_6, 0.275_777_1]
}

impl Preprocess {
    /// OpenAI's and OpenCLIP's transform: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/clip.py#L79-L86>.
    pub fn clip(size: usize) -> Self {
        Self {
            size,
            resize: size,
            mode: ResizeMode::default(),
            filter: Filter::default(),
            crop: CropRounding::default(),
            fill: 0,
            mean: clip_mean(),
            std: clip_std(),
        }
    }

    /// Returns clipwright's own JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Refuses an image of one pixel: a tracking pixel, or a failed download.
    ///
    /// # Errors
    /// `image-too-small`.
    pub fn check(image: &RgbImage) -> Result<()> {
        if image.width < 2 && image.height < 2 {
            return Err(ClipError::ImageTooSmall { width: image.width, height: image.height });
        }
        Ok(())
    }

    /// Resizes and crops an image, without normalising it.
    ///
    /// # Shapes
    /// - output: `[3, size, size]`
    pub fn square(&self, image: &RgbImage) -> Vec<u8> {
        let (size, resized) = (self.size, self.resize);
        let (width, height) = match self.mode {
            ResizeMode::Squash => (resized, resized),
            // the long side is rounded down
            ResizeMode::Shortest if image.width <= image.height => (resized, resized * image.height / image.width),
            ResizeMode::Shortest => (resized * image.width / image.height, resized),
            ResizeMode::Longest => {
                let ratio = image.width.max(image.height) as f64 / resized as f64;
                let side = |from: usize| ((from as f64 / ratio).round_ties_even() as usize).clamp(1, size);
                (side(image.width), side(image.height))
            }
        };
        let kept = |side: usize| {
            let first = self.crop_offset(side);
            first..side.min(first + size)
        };
        self.planes(&resize(image, width, height, self.filter, &Crop { x: kept(width), y: kept(height) }))
    }

    /// Crops a part of an image and resizes it, ignoring the aspect ratio: torchvision's `resized_crop`.
    ///
    /// # Shapes
    /// - output: `[3, size, size]`
    pub(crate) fn square_of(&self, image: &RgbImage, part: &Crop) -> Vec<u8> {
        let whole = Crop { x: 0..self.size, y: 0..self.size };
        self.planes(&resize(&image.part(part), self.size, self.size, self.filter, &whole))
    }

    /// Centres an image, which is no larger than the square, in a square of the fill level.
    ///
    /// # Shapes
    /// - output: `[3, size, size]`
    fn planes(&self, part: &RgbImage) -> Vec<u8> {
        let size = self.size;
        let (left, top) = ((size - part.width) / 2, (size - part.height) / 2);
        let mut out = vec![self.fill; 3 * size * size];
        for (i, pixel) in part.data.chunks_exact(3).enumerate() {
            let (x, y) = (left + i % part.width, top + i / part.width);
            for (channel, &level) in pixel.iter().enumerate() {
                out[(channel * size + y) * size + x] = level;
            }
        }
        out
    }

    fn crop_offset(&self, side: usize) -> usize {
        let free = side.saturating_sub(self.size);
        match self.crop {
            // round((side - size) / 2), ties to even
            CropRounding::Torchvision if free % 4 == 3 => free / 2 + 1,
            _ => free / 2,
        }
    }

    /// Normalises 8-bit squares to the tower's input: `(x / 255 - mean) / std`.
    ///
    /// # Shapes
    /// - squares, output: `[batch, 3, size, size]`
    pub fn normalize(&self, squares: &[u8]) -> Vec<f32> {
        let table: Vec<[f32; 256]> =
            (0..3).map(|c| core::array::from_fn(|level| (level as f32 / 255.0 - self.mean[c]) / self.std[c])).collect();
        let plane = self.size * self.size;
        squares
            .chunks_exact(plane)
            .enumerate()
            .flat_map(|(i, plane)| plane.iter().map(move |&level| (i % 3, usize::from(level))))
            .map(|(channel, level)| table[channel][level])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tall_image_is_cropped_to_its_centre() {
        let rows: Vec<u8> = (0..4u8).flat_map(|y| [y * 10; 6]).collect();
        let image = RgbImage::new(2, 4, rows).unwrap();
        assert_eq!(Preprocess::clip(2).square(&image)[..4], [10, 10, 20, 20]);
    }

    #[test]
    fn crop_offsets_differ_by_one_for_margins_of_3_modulo_4() {
        let offset = |crop, side| Preprocess { crop, ..Preprocess::clip(32) }.crop_offset(side);
        for (side, torchvision, hf) in [(32, 0, 0), (33, 0, 0), (34, 1, 1), (35, 2, 1), (47, 8, 7), (49, 8, 8)] {
            assert_eq!((offset(CropRounding::Torchvision, side), offset(CropRounding::Hf, side)), (torchvision, hf));
        }
    }

    #[test]
    fn images_with_the_wrong_number_of_values_are_refused() {
        for (width, height, bytes) in [(0, 0, 0), (1, 0, 0), (2, 2, 11), (usize::MAX, usize::MAX, 3)] {
            assert_eq!(RgbImage::new(width, height, vec![0; bytes]).unwrap_err().code(), "shape-mismatch");
        }
        for (width, height, bytes) in
            [(0, 0, 0), (0, 3, 3), (2, 2, 0), (2, 2, 11), (2, 2, 20), (usize::MAX, usize::MAX, 3)]
        {
            assert_eq!(RgbImage::from_raw(width, height, vec![0; bytes]).unwrap_err().code(), "shape-mismatch");
        }
        let pixel = RgbImage::new(1, 1, vec![7; 3]).unwrap();
        assert_eq!(Preprocess::check(&pixel).unwrap_err().code(), "image-too-small");
        assert_eq!(Preprocess::clip(4).square(&pixel), [7; 48]);
    }
}
