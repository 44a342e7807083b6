//! Seeded mutations of valid files: each is accepted or refused, and none panics.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::checkpoint::LoadOptions;
use crate::config::ClipConfig;
use crate::device::cpu;
use crate::model_loader::{ModelLoader, SideFiles};
use crate::preprocess::{Preprocess, RgbImage, TransformFiles, decode};
use crate::tokenizer::{Reference, Tokenizer, TokenizerFiles};

/// Number of inputs of all four tests.
const INPUTS: usize = 110_000;

/// Edge cases of numbers.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
    "-0.5",
    "null",
    "\"7\"",
    "[]",
];

/// Changes a file in a few places: flips, removes or repeats bytes, replaces numbers.
fn mutated(original: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let length = rng.random_range(1..=16usize).min(bytes.len() - at);
        match rng.random_range(0..7) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            5 => bytes[at..at + length].fill(rng.random()),
            _ => {
                // replaces the next number
                let Some(start) = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit()) else { continue };
                let end = (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
                bytes.splice(start..end, NUMBERS[rng.random_range(0..NUMBERS.len())].bytes());
            }
        }
    }
    bytes
}

/// Reads mutations; some must be accepted and some refused, or the mutations are too weak or too strong.
fn fuzz(seeds: &[Vec<u8>], count: usize, seed: u64, mut read: impl FnMut(&[u8]) -> bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..count {
        let original = &seeds[rng.random_range(0..seeds.len())];
        if read(&mutated(original, &mut rng)) { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > count / 1_000 && refused > count / 1_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn headers() {
    let whole = fixture("models/clip-quickgelu-p8/hf/model.safetensors");
    let length = Header::length(&whole).unwrap();
    let data = (whole.len() - length) as u64;
    let config = text("models/clip-quickgelu-p8/hf/config.json");
    let small = fixture("models/losses.safetensors");
    let small = small[..Header::length(&small).unwrap()].to_vec();
    fuzz(&[whole[..length].to_vec(), small], INPUTS / 4, 1, |bytes| {
        // a file of the length that the header gives, so that the check of the length does not hide the others
        let claimed = Header::length(bytes).map_or(0, |length| length as u64);
        let Ok(header) = Header::parse(bytes, claimed.saturating_add(data)) else { return false };
        let files = SideFiles { config: Some(&config), ..SideFiles::default() };
        if let Ok(loader) = ModelLoader::new(core::slice::from_ref(&header), &files, LoadOptions::default(), &cpu()) {
            let room = claimed + data;
            assert!(loader.weights.byte_ranges().iter().all(|range| range.begin <= range.end && range.end <= room));
        }
        header.names().all(|name| header.tensor(name).is_some())
    });
}

#[test]
fn configs() {
    let seeds: Vec<Vec<u8>> = [
        "models/clip-quickgelu-p8/hf/config.json",
        "models/siglip-p16/hf/config.json",
        "models/clip-quickgelu-p8/open_clip/open_clip_config.json",
        "models/clip-resnet/open_clip/open_clip_config.json",
    ]
    .map(fixture)
    .into();
    let transforms = [
        fixture("models/clip-quickgelu-p8/hf/preprocessor_config.json"),
        fixture("models/siglip-p16/hf/preprocessor_config.json"),
    ];
    let model = text("models/clip-quickgelu-p8/hf/config.json");
    let parsed = ClipConfig::from_json(&model).unwrap();
    fuzz(&seeds, INPUTS / 4, 2, |bytes| {
        let Ok(config) = ClipConfig::from_json(&String::from_utf8_lossy(bytes)) else { return false };
        // an accepted config round-trips
        assert_eq!(ClipConfig::from_json(&config.to_json()).unwrap(), config);
        config.to_hf_json().is_ok() || config.to_hf_json().is_err()
    });
    let image = RgbImage::new(40, 30, vec![9; 3_600]).unwrap();
    fuzz(&transforms, INPUTS / 16, 3, |bytes| {
        let json = String::from_utf8_lossy(bytes);
        let files = TransformFiles { preprocess: Some(&json), ..TransformFiles::default() };
        let Ok(transform) = Preprocess::for_model(files, &model, &parsed, &mut Vec::new()) else { return false };
        transform.normalize(&transform.square(&image)).len() == 3 * 32 * 32
    });
}

#[test]
fn tokenizers_and_texts() {
    let mini = text("tokenizer/mini/merges.txt");
    fuzz(&[mini.clone().into_bytes()], INPUTS / 16, 4, |bytes| {
        let Ok(tokenizer) = Tokenizer::from_merges(&String::from_utf8_lossy(bytes), Reference::Hf) else {
            return false;
        };
        tokenizer.tokenize(["a photo of a cat"], 16, true).is_ok_and(|ids| ids.len() == 16)
    });
    fuzz(&[fixture("tokenizer/mini/tokenizer.json")], INPUTS / 64, 5, |bytes| {
        let json = String::from_utf8_lossy(bytes);
        let files = TokenizerFiles { tokenizer: Some(&json), ..TokenizerFiles::default() };
        Tokenizer::from_files(&files, Reference::Hf, &mut Vec::new()).is_ok()
    });
    fuzz(&[fixture("tokenizer/mini/tokenizer_config.json")], INPUTS / 64, 6, |bytes| {
        let json = String::from_utf8_lossy(bytes);
        let files = TokenizerFiles { merges: Some(&mini), config: Some(&json), ..TokenizerFiles::default() };
        let mut warnings = Vec::new();
        let Ok(Some(tokenizer)) = Tokenizer::from_files(&files, Reference::Hf, &mut warnings) else { return false };
        tokenizer.tokenize(["a photo of a cat"], 16, true).is_ok_and(|ids| ids.len() == 16)
    });
    let references = [Reference::OpenClip, Reference::OpenAi, Reference::Hf, Reference::HfNormalized];
    let tokenizers = references.map(|reference| Tokenizer::from_merges(&mini, reference).unwrap());
    let rows = text("tokenizer/cases.jsonl");
    let rows: Vec<Vec<u8>> = rows
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().as_bytes().to_vec())
        .filter(|text| text.len() < 2_000)
        .collect();
    fuzz(&rows, INPUTS / 4, 7, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let fits = |tokenizer: &Tokenizer| match tokenizer.tokenize([text.as_ref()], 32, false) {
            Ok(ids) => ids.len() == 32 && ids.iter().all(|id| (0..1_024).contains(id)),
            Err(error) => {
                assert_eq!(error.code(), "caption-too-long");
                false
            }
        };
        tokenizers.iter().all(fits)
    });
}

#[test]
fn images() {
    let mut seeds: Vec<Vec<u8>> = [
        "gray_75x50.png",
        "alpha_96x72.png",
        "palette_90x60.png",
        "gray16_64x48.png",
        "exif6_120x80.jpg",
        "animated_48x40.gif",
        "animated_50x64.webp",
    ]
    .map(|name| fixture(&format!("preprocess/images/{name}")))
    .into();
    for name in json("pictures/pictures.json")["pictures"].as_object().unwrap().keys() {
        seeds.push(fixture(&format!("pictures/files/{name}")));
    }
    let transform = Preprocess::clip(16);
    fuzz(&seeds, INPUTS / 8, 8, |bytes| match decode(bytes) {
        Ok(image) => transform.square(&image).len() == 3 * 16 * 16,
        Err(error) => {
            assert!(["undecodable-image", "image-too-large"].contains(&error.code()), "{error}");
            false
        }
    });
}
