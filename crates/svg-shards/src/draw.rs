//! From an SVG to pixels, by resvg.

use anyhow::Result;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, Options, Tree};

/// A drawing on white, square.
pub(crate) struct Picture {
    rgb: Vec<u8>,
    side: u32,
}

/// Draws an SVG as large as it fits, in the middle. `currentColor` is black.
pub(crate) fn draw(svg: &str, side: u32) -> Result<Picture, usvg::Error> {
    let tree = Tree::from_str(svg, &Options::default())?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = side as f32 / width.max(height);
    let margin = |length: f32| (side as f32 - length * scale) / 2.0;
    let transform = Transform::from_translate(margin(width), margin(height)).pre_scale(scale, scale);
    let mut pixmap = Pixmap::new(side, side).ok_or(usvg::Error::InvalidSize)?;
    pixmap.fill(Color::WHITE);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    let rgb = pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Ok(Picture { rgb, side })
}

impl Picture {
    /// Red, green and blue, row by row.
    pub(crate) fn pixels(&self) -> &[u8] {
        &self.rgb
    }

    /// Whether nothing was drawn, or white on white.
    pub(crate) fn is_blank(&self) -> bool {
        self.rgb.iter().all(|&value| value == u8::MAX)
    }

    /// Encodes it as a PNG, of one channel where all three are equal.
    pub(crate) fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
        let is_gray = self.rgb.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
        if is_gray {
            let gray: Vec<u8> = self.rgb.iter().copied().step_by(3).collect();
            encoder.write_image(&gray, self.side, self.side, ExtendedColorType::L8)?;
        } else {
            encoder.write_image(&self.rgb, self.side, self.side, ExtendedColorType::Rgb8)?;
        }
        Ok(png)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(attributes: &str, body: &str) -> Picture {
        let svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>"#);
        draw(&svg, 8).unwrap()
    }

    fn at(picture: &Picture, x: usize, y: usize) -> [u8; 3] {
        picture.rgb.as_chunks().0[y * 8 + x]
    }

    #[test]
    fn a_wide_icon_fills_the_width_and_is_black_on_white() {
        let picture = drawing(r#"viewBox="0 0 20 10""#, r#"<path fill="currentColor" d="M0 0h20v10H0z"/>"#);
        assert_eq!((at(&picture, 0, 0), at(&picture, 0, 3), at(&picture, 7, 5)), ([255; 3], [0; 3], [0; 3]));
        let decoded = image::load_from_memory(&picture.to_png().unwrap()).unwrap();
        assert_eq!(decoded.color(), image::ColorType::L8);
        assert_eq!(decoded.to_rgb8().as_raw(), picture.pixels());
    }

    #[test]
    fn colours_stay() {
        let picture = drawing(r#"viewBox="0 0 8 8""#, r##"<path fill="#f00" d="M0 0h8v8H0z"/>"##);
        assert_eq!(at(&picture, 4, 4), [255, 0, 0]);
        assert_eq!(image::load_from_memory(&picture.to_png().unwrap()).unwrap().to_rgb8().as_raw(), picture.pixels());
        assert!(!picture.is_blank());
        assert!(drawing(r#"viewBox="0 0 8 8""#, r##"<path fill="#fff" d="M0 0h8v8H0z"/>"##).is_blank());
    }
}
