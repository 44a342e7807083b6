//! Transforms, against Pillow and the reference implementations.

use super::*;
use crate::preprocess::{Crop, CropRounding, Filter, Preprocess, ResizeMode, decode, sides};

#[test]
fn pixels_of_every_rgb8_key() {
    let manifest = json("preprocess/manifest.json");
    let mut compared = 0;
    for image in manifest["images"].as_array().unwrap() {
        let file = fixture(&format!("preprocess/{}", image["decoded"].as_str().unwrap()));
        let decoded = decode(&file).unwrap();
        for (size, pipelines) in image["golden"].as_object().unwrap() {
            let clip = Preprocess::clip(size.parse().unwrap());
            for (key, golden) in pipelines.as_object().unwrap().iter().filter(|(key, _)| key.starts_with("rgb8/")) {
                let transform = match key.trim_start_matches("rgb8/") {
                    "open_clip" => clip.clone(),
                    "hf" => Preprocess { crop: CropRounding::Hf, ..clip.clone() },
                    "siglip" => Preprocess { mode: ResizeMode::Squash, mean: [0.5; 3], std: [0.5; 3], ..clip.clone() },
                    "bilinear_unit" => {
                        Preprocess { filter: Filter::Bilinear, mean: [0.0; 3], std: [1.0; 3], ..clip.clone() }
                    }
                    // Pillow's versions differ; the reference is 13
                    other if other.ends_with("@pillow12") => continue,
                    other => panic!("unknown pipeline {other}"),
                };
                let expected: Vec<f32> = fixture(&format!("preprocess/{}", golden["file"].as_str().unwrap()))
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                    .collect();
                let got = transform.normalize(&transform.square(&decoded));
                let error = max_error(&got, &expected);
                assert!(error <= 1e-6, "{} {size} {key}: {error}", image["file"]);
                compared += 1;
            }
        }
    }
    assert!(compared >= 12 * 2 * 2, "{compared}");
}

#[test]
fn longest_pads_as_open_clip_does() {
    let golden = Golden::open("preprocess/longest.safetensors");
    let names = golden.names();
    assert!(names.len() >= 20, "{}", names.len());
    for name in names {
        let parts: Vec<&str> = name.split('/').collect();
        let [file, size, fill] = parts[..] else { panic!("{name}") };
        let decoded = decode(&fixture(&format!("preprocess/decoded/{file}.png"))).unwrap();
        let (mode, fill) = (ResizeMode::Longest, fill.parse().unwrap());
        let transform = Preprocess { mode, fill, ..Preprocess::clip(size.parse().unwrap()) };
        let error = max_error(&transform.normalize(&transform.square(&decoded)), &golden.tensor(name).1);
        assert!(error <= 1e-6, "{name}: {error}");
    }
}

#[test]
fn crops_are_drawn_and_resized_as_torchvision_does() {
    let golden = Golden::open("preprocess/parts.safetensors");
    let names: Vec<&str> = golden.names().into_iter().filter(|name| name.ends_with("/square")).collect();
    assert!(names.len() >= 40, "{}", names.len());
    for name in names {
        let key = name.trim_end_matches("/square");
        let parts: Vec<&str> = key.split('/').collect();
        let [file, filter, _] = parts[..] else { panic!("{name}") };
        let image = decode(&fixture(&format!("preprocess/decoded/{file}.png"))).unwrap();
        let drawn: Vec<f64> = golden.tensor(&format!("{key}/drawn")).1.into_iter().map(f64::from).collect();
        let [left, top, width, height] = [2, 3, 4, 5].map(|i| drawn[i] as usize);
        // a negative area marks a centre crop, the fallback
        if drawn[0] > 0.0 {
            let area = (image.width() * image.height()) as f64;
            assert_eq!(sides(area * drawn[0], drawn[1]), (width, height), "{key}");
        }
        let filter = if filter == "bilinear" { Filter::Bilinear } else { Filter::Bicubic };
        let part = Crop { x: left..left + width, y: top..top + height };
        let got = Preprocess { filter, ..Preprocess::clip(16) }.square_of(&image, &part);
        let got: Vec<f32> = got.into_iter().map(f32::from).collect();
        assert_eq!(got, golden.tensor(name).1, "{key}");
    }
}

/// Lossless formats decode exactly as in the fixtures, JPEG within one level on average.
#[test]
fn files_decode_as_a_browser_shows_them() {
    for image in json("preprocess/manifest.json")["images"].as_array().unwrap() {
        let name = image["file"].as_str().unwrap();
        let got = decode(&fixture(&format!("preprocess/{name}"))).unwrap();
        let expected = decode(&fixture(&format!("preprocess/{}", image["decoded"].as_str().unwrap()))).unwrap();
        assert_eq!((got.width(), got.height()), (expected.width(), expected.height()), "{name}");
        let total: u64 = got.data().iter().zip(expected.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = total as f64 / got.data().len() as f64;
        assert!(mean <= if name.ends_with(".png") || name.ends_with(".gif") { 0.01 } else { 1.0 }, "{name}: {mean}");
    }
}
