//! The native half of `npm run fidelity`: loads the model of a folder that `benchmarks/fidelity/make-models.py` wrote, and
//! prints how far its embeddings are from PyTorch's, as JSON.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for the command line, on files of our own making"
)]

use std::fs;
use std::path::PathBuf;

use clip_core::bundle::{Bundle, Files, Opening};
use clip_core::checkpoint::{Header, LoadOptions};
use clip_core::device::{block_on_cpu, cpu};

fn values(header: &Header, bytes: &[u8], name: &str) -> Vec<[u8; 4]> {
    let (begin, end) = header.bytes_of(header.tensor(name).unwrap());
    bytes[begin as usize..end as usize].chunks_exact(4).map(|b| b.try_into().unwrap()).collect()
}

fn open(folder: &std::path::Path) -> Bundle {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let config = read("config.json").or_else(|| read("open_clip_config.json")).unwrap();
    let weights = ["model.safetensors", "open_clip_model.safetensors"];
    let weights = weights.iter().find_map(|name| fs::read(folder.join(name)).ok()).unwrap();
    let header = Header::parse(&weights, weights.len() as u64).unwrap();
    let files = Files { config: Some(&config), ..Files::default() };
    let mut opening = Opening::new(&[header], &files, LoadOptions::default(), &cpu()).unwrap();
    for part in opening.loading.parts().to_vec() {
        opening.loading.push(&weights[part.begin as usize..part.end as usize]).unwrap();
    }
    opening.finish().unwrap().0
}

/// Largest and mean difference, and the smallest cosine of a row.
fn compare(got: &[f32], expected: &[f32], dim: usize) -> String {
    let errors = got.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
    let max = errors.clone().fold(0.0, f64::max);
    let mean = errors.sum::<f64>() / got.len() as f64;
    let dot = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = got.chunks_exact(dim).zip(expected.chunks_exact(dim)).map(dot).fold(1.0, f64::min);
    format!(r#"{{"max":{max:e},"mean":{mean:e},"cosine":{cosine}}}"#)
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    let golden = fs::read(folder.join("golden.safetensors")).unwrap();
    let header = Header::parse(&golden, golden.len() as u64).unwrap();
    let floats = |name| values(&header, &golden, name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
    let ids: Vec<i32> = values(&header, &golden, "input_ids").into_iter().map(i32::from_le_bytes).collect();
    let bundle = open(&folder);
    let dim = bundle.config.embed_dim;
    let image = block_on_cpu(bundle.encode_pixels(&floats("pixel_values"))).unwrap();
    let text = block_on_cpu(bundle.encode_ids(&ids)).unwrap();
    println!(
        r#"{{"image":{},"text":{}}}"#,
        compare(&image, &floats("image_embeds"), dim),
        compare(&text, &floats("text_embeds"), dim)
    );
}
