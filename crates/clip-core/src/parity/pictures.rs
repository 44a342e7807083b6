//! Complete, truncated and damaged images, against Pillow (`fixtures/pictures`).

use super::*;
use crate::preprocess::{RgbImage, decode};

fn golden() -> Value {
    json("pictures/pictures.json")
}

fn file(name: &str) -> Vec<u8> {
    fixture(&format!("pictures/files/{name}"))
}

/// Decodes an image; `None` if it is refused with the right code.
fn decoded(bytes: &[u8]) -> Option<RgbImage> {
    decode(bytes).map_err(|error| assert_eq!(error.code(), "undecodable-image", "{error}")).ok()
}

#[test]
fn every_format_is_decoded() {
    for (name, row) in golden()["pictures"].as_object().unwrap() {
        let image = decode(&file(name)).unwrap();
        assert_eq!(serde_json::json!([image.width(), image.height()]), row["size"], "{name}");
        let pixels = (image.width() * image.height()) as f64;
        for channel in 0..3 {
            let sum: f64 = image.data().iter().skip(channel).step_by(3).map(|&level| f64::from(level)).sum();
            let expected = row["mean"][channel].as_f64().unwrap();
            // decoders of JPEG, and of 5 bits per level, round differently
            assert!((sum / pixels - expected).abs() < 0.6, "{name}: {} for {expected}", sum / pixels);
        }
    }
}

/// A truncated image is refused, or has all its pixels; for JPEG and WebP, exactly as in Pillow.
#[test]
fn truncated_at_every_byte() {
    for (name, row) in golden()["pictures"].as_object().unwrap() {
        let bytes = file(name);
        let whole = decode(&bytes).unwrap();
        let ranges: Vec<[usize; 2]> = serde_json::from_value(row["taken"].clone()).unwrap();
        for length in 0..bytes.len() {
            let pillow = ranges.iter().any(|&[first, last]| (first..=last).contains(&length));
            let got = decoded(&bytes[..length]);
            assert!(got.is_none() || got.as_ref() == Some(&whole), "{name} of {length} bytes is another image");
            // other decoders differ in which of the last bytes, after all pixels, may be missing
            if name.ends_with(".jpg") || name.ends_with(".mpo") || name.ends_with(".webp") {
                assert_eq!(got.is_some(), pillow, "{name} of {length} bytes");
            }
        }
    }
}

/// Damage that is refused here and ignored by Pillow.
const STRICTER: [(&str, &str); 8] = [
    ("baseline.jpg", "a segment of length 0"),
    ("animated.webp", "ANMF at 44 claims 0x246"),
    ("animated.webp", "ANMF at 44 claims 0x24d"),
    ("animated-alpha.webp", "a frame that is lower than its picture"),
    ("animated-alpha.webp", "a frame that is wider than its picture"),
    ("rgb.png", "IDAT's sum changed"),
    ("palette.gif", "a screen of no columns"),
    ("palette.gif", "bytes between blocks"),
];

#[test]
fn damaged_in_known_ways() {
    let mut stricter = Vec::new();
    for row in golden()["broken"].as_array().unwrap() {
        let (name, what) = (row["file"].as_str().unwrap(), row["what"].as_str().unwrap());
        let original = file(name);
        let mut bytes = original.clone();
        let edits: Vec<(usize, usize, String)> = serde_json::from_value(row["edits"].clone()).unwrap();
        for (start, end, hex) in edits.into_iter().rev() {
            let digits = hex.as_bytes().chunks_exact(2).map(|pair| core::str::from_utf8(pair).unwrap());
            bytes.splice(start..end, digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
        let got = decoded(&bytes);
        if got.is_none() && row["taken"] == true {
            stricter.push((name.to_string(), what.to_string()));
            continue;
        }
        assert_eq!(got.is_some(), row["taken"] == true, "{name}: {what}");
        if row["exact"] == true {
            assert_eq!(got, decode(&original).ok(), "{name}: {what}");
        }
    }
    assert_eq!(stricter, STRICTER.map(|(name, what)| (name.to_string(), what.to_string())));
}

/// Files that users reported.
#[test]
fn files_of_users() {
    for (name, word) in [
        ("cut-pictures/cut-60.jpg", "ends early"),
        ("cut-pictures/cut0.5.jpg", "ends early"),
        ("cut-pictures/cut0.8.progressive.jpg", "ends early"),
        ("cut-pictures/cut-2.webp", "ends early"),
        ("panic.webp", "\"EXIF\" claims 2147483648 bytes"),
        ("picture-extensions/phone.avif", "of AVIF: convert it"),
        ("picture-extensions/iphone.HEIC", "of HEIC (HEIF): convert it"),
    ] {
        let error = decode(&fixture(&format!("cases/{name}"))).unwrap_err();
        assert!(error.code() == "undecodable-image" && error.to_string().contains(word), "{name}: {error}");
    }
    for name in ["chrome.jfif", "stereo.mpo"] {
        assert!(decode(&fixture(&format!("cases/picture-extensions/{name}"))).is_ok(), "{name}");
    }
}

#[test]
fn unsupported_jpegs_are_refused_by_their_kind() {
    let baseline = file("baseline.jpg");
    let frame = baseline.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (marker, word) in
        [(0xc3, "lossless"), (0xc5, "hierarchical"), (0xc9, "arithmetic"), (0xca, "arithmetic"), (0xf7, "rare kind")]
    {
        let mut bytes = baseline.clone();
        bytes[frame + 1] = marker;
        let error = decode(&bytes).unwrap_err();
        assert!(error.code() == "undecodable-image" && error.to_string().contains(word), "{error}");
    }
}
