//! Decodes image files to 8-bit RGB with the `image` crate. A canvas would give other pixels in each browser, and none in Node.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgba};

use super::{RgbImage, jpeg, unsupported, webp};
use crate::error::{ClipError, Result};

/// Limits of a decoder, in pixels and bytes: a small file can claim a huge image.
const MAX_SIDE: u32 = 16_384;
const MAX_ALLOC: u64 = 512 << 20;

/// Decodes PNG, JPEG, WebP, GIF or BMP as a browser shows it on a white page: first frame, EXIF orientation applied, 16 bit
/// scaled to 8, transparency over white. Truncated files are refused, as by Pillow; errors name the format of other files.
///
/// # Errors
/// `undecodable-image`; `image-too-large` above 16,384 pixels on a side or 512 MiB decoded.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    let undecodable = |got: String| ClipError::UndecodableImage { got };
    if bytes.is_empty() {
        return Err(undecodable("0 bytes".into()));
    }
    let too_large = |got: String| ClipError::ImageTooLarge { max_side: MAX_SIDE, max_bytes: MAX_ALLOC, got };
    let decode_error = |e: image::ImageError| match e {
        image::ImageError::Limits(e) => too_large(e.to_string()),
        e => undecodable(format!("{} bytes: {e}", bytes.len())),
    };
    let broken = |why: String| undecodable(format!("{} bytes: {why}", bytes.len()));
    let format = image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled);
    let format =
        format.ok_or_else(|| undecodable(format!("{} bytes of {}", bytes.len(), unsupported::describe(bytes))))?;
    let whole = match format {
        ImageFormat::Jpeg => jpeg::whole(bytes).map_err(|why| broken(why.into()))?,
        ImageFormat::WebP => webp::whole(bytes).map_err(broken)?.into(),
        _ => bytes.into(),
    };
    let mut reader = ImageReader::with_format(Cursor::new(&whole[..]), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(decode_error)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(broken(format!("an image of {width}×{height} pixels")));
    }
    if decoder.total_bytes() > MAX_ALLOC {
        return Err(too_large(format!("{width}×{height}")));
    }
    let orientation = decoder.orientation().map_err(decode_error)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(decode_error)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let data = if image.color().has_alpha() {
        let image = image.into_rgba8();
        // many bitmaps reserve the fourth byte without using it as alpha: all zeros would make them invisible
        let opaque = format == ImageFormat::Bmp && image.pixels().all(|p| p.0[3] == 0);
        image
            .pixels()
            .flat_map(|&Rgba([r, g, b, a])| if opaque { [r, g, b] } else { over_white([r, g, b, a]) })
            .collect()
    } else {
        image.into_rgb8().into_raw()
    };
    RgbImage::new(width, height, data)
}

/// Composites a pixel over white.
pub(super) fn over_white([r, g, b, a]: [u8; 4]) -> [u8; 3] {
    let mix = |c: u8| {
        let a = u32::from(a);
        ((u32::from(c) * a + 255 * (255 - a) + 127) / 255) as u8
    };
    [mix(r), mix(g), mix(b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn transparent_pixels_are_composited_over_white() {
        let image = image::RgbaImage::from_raw(3, 1, vec![9, 9, 9, 0, 0, 0, 0, 128, 1, 2, 3, 255]).unwrap();
        assert_eq!(decode(&png(&image.into())).unwrap().data(), [255, 255, 255, 127, 127, 127, 1, 2, 3]);
    }

    #[test]
    fn a_file_that_claims_a_huge_image_is_refused_before_allocation() {
        let mut bomb = png(&DynamicImage::new_rgb8(1, 1));
        for (side, message) in [(20_000u32, "16384"), (16_000, "16000×16000")] {
            bomb[16..20].copy_from_slice(&side.to_be_bytes());
            bomb[20..24].copy_from_slice(&side.to_be_bytes());
            // checksum of the chunk
            let crc = crc32(&bomb[12..29]);
            bomb[29..33].copy_from_slice(&crc.to_be_bytes());
            let error = decode(&bomb).unwrap_err();
            assert!(error.code() == "image-too-large" && error.to_string().contains(message), "{error}");
        }
    }

    /// CRC-32 of PNG chunks.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn files_that_are_not_images_are_refused_with_a_reason() {
        let whole = png(&DynamicImage::new_rgb8(20, 20));
        for bytes in
            [&b""[..], b"not an image", &whole[..whole.len() / 2], &[0x89, b'P', b'N', b'G'], b"<svg xmlns='x'/>"]
        {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.code(), "undecodable-image");
            assert!(error.to_string().contains("bytes"), "{error}");
        }
    }
}
