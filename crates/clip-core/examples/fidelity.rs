//! The native half of `npm run fidelity`: `fidelity FOLDER PICTURES OUT [webgpu]` loads the model of a folder that
//! `benchmarks/fidelity/make-models.py` wrote, encodes the same inputs, and writes pixel_values, input_ids, image_embeds and
//! text_embeds as safetensors, with the transform in the metadata. `benchmarks/fidelity/measure.mjs` compares the results.
#![expect(clippy::unwrap_used, reason = "a command-line program that reads our own files")]

use std::fs;
use std::io::Read;
use std::path::Path;

use clipwright_core::bundle::Bundle;
use clipwright_core::checkpoint::{Header, LoadOptions};
use clipwright_core::device::{Device, cpu};
use clipwright_core::model_loader::{ModelLoader, SideFiles};
use clipwright_core::preprocess::TransformFiles;
use clipwright_core::preprocess::decode;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

const MERGES: &[u8] = include_bytes!("../../../assets/clip-merges.txt.gz");

/// Returns a tensor's values, four bytes each.
fn values(header: &Header, bytes: &[u8], name: &str) -> Vec<[u8; 4]> {
    let (begin, end) = header.bytes_of(header.tensor(name).unwrap());
    bytes[begin as usize..end as usize].chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
}

fn open(folder: &Path, device: &Device) -> Bundle {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let config = read("config.json").or_else(|| read("open_clip_config.json")).unwrap();
    let weights = ["model.safetensors", "open_clip_model.safetensors"];
    let weights = weights.iter().find_map(|name| fs::read(folder.join(name)).ok()).unwrap();
    let header = Header::parse(&weights, weights.len() as u64).unwrap();
    let preprocess = read("preprocessor_config.json");
    let transform = TransformFiles { preprocess: preprocess.as_deref(), ..TransformFiles::default() };
    let files = SideFiles { config: Some(&config), transform, ..SideFiles::default() };
    // WebGPU's default limit, so that a large token table is split
    let options = LoadOptions { max_tensor_bytes: Some(128 << 20), ..LoadOptions::default() };
    let mut loader = ModelLoader::new(&[header], &files, options, device).unwrap();
    if loader.wants_published_merges() {
        let mut merges = String::new();
        flate2::read::GzDecoder::new(MERGES).read_to_string(&mut merges).unwrap();
        loader.set_merges(&merges).unwrap();
    }
    loader.weights.push_from(&weights).unwrap();
    loader.finish().unwrap().0
}

async fn device(name: Option<&str>) -> Device {
    match name {
        None => cpu(),
        #[cfg(feature = "webgpu")]
        Some("webgpu") => clipwright_core::device::webgpu().await.unwrap(),
        Some(other) => panic!("unknown device {other}: pass webgpu, with the feature webgpu, or nothing for the CPU"),
    }
}

async fn answer() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, pictures, out] = [0, 1, 2].map(|i| Path::new(&arguments[i]));
    let golden = fs::read(folder.join("golden.safetensors")).unwrap();
    let header = Header::parse(&golden, golden.len() as u64).unwrap();
    let notes: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("golden.json")).unwrap()).unwrap();
    let strings = |key: &str| -> Option<Vec<String>> { serde_json::from_value(notes[key].clone()).ok() };

    let bundle = open(folder, &device(arguments.get(3).map(String::as_str)).await);
    let pixels: Vec<f32> = values(&header, &golden, "pixel_values").into_iter().map(f32::from_le_bytes).collect();
    let ids: Vec<i32> = values(&header, &golden, "input_ids").into_iter().map(i32::from_le_bytes).collect();
    let image = bundle.encode_pixels(&pixels).await.unwrap();
    let text = bundle.encode_ids(&ids).await.unwrap();
    let square = |name: &String| {
        let image = decode(&fs::read(pictures.join(format!("{name}.png"))).unwrap()).unwrap();
        bundle.preprocess.square(&image)
    };
    let own_pixels =
        bundle.preprocess.normalize(&strings("pictures").unwrap().iter().flat_map(square).collect::<Vec<_>>());
    let captions = strings("captions").unwrap_or_default();
    let own_ids = if captions.is_empty() {
        Vec::new()
    } else {
        bundle.tokenize(captions.iter().map(String::as_str), false).unwrap()
    };

    let rows = |values: &[f32]| vec![values.len() / bundle.config.embed_dim, bundle.config.embed_dim];
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let tensors = [
        ("image_embeds", Dtype::F32, rows(&image), floats(&image)),
        ("text_embeds", Dtype::F32, rows(&text), floats(&text)),
        ("pixel_values", Dtype::F32, vec![own_pixels.len()], floats(&own_pixels)),
        ("input_ids", Dtype::I32, vec![own_ids.len()], own_ids.iter().flat_map(|v| v.to_le_bytes()).collect()),
    ];
    let view = |(name, dtype, shape, bytes)| (name, TensorView::new(dtype, shape, bytes).unwrap());
    let views =
        tensors.iter().map(|(name, dtype, shape, bytes)| view((*name, *dtype, shape.clone(), bytes.as_slice())));
    let transform = [("preprocess".to_owned(), bundle.preprocess.to_json())].into();
    serialize_to_file(views, Some(transform), out).unwrap();
}

fn main() {
    pollster::block_on(answer());
}
