//! Tests against golden data of PyTorch, transformers, OpenCLIP and Pillow. The READMEs in `test/fixtures` give the tolerances.

use std::fs;
use std::path::PathBuf;

mod adapters;
mod keys;
mod loading;
mod losses;
mod models;
mod mutation;
mod pictures;
mod preprocess;
mod tokenizer;
mod training;
mod weights;

use burn::tensor::Tensor;
use serde_json::Value;

use crate::checkpoint::Header;
use crate::device::block_on_cpu;

fn fixture(path: &str) -> Vec<u8> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test/fixtures").join(path);
    fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&fixture(path)).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    block_on_cpu(crate::device::read(tensor)).unwrap()
}

fn text(path: &str) -> String {
    String::from_utf8(fixture(path)).unwrap()
}

/// A safetensors file in memory.
struct Golden {
    header: Header,
    bytes: Vec<u8>,
}

impl Golden {
    fn new(bytes: Vec<u8>) -> Self {
        Self { header: Header::parse(&bytes, bytes.len() as u64).unwrap(), bytes }
    }

    fn open(path: &str) -> Self {
        Self::new(fixture(path))
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.header.names().collect();
        names.sort_unstable();
        names
    }

    fn words(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let info = self.header.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
        assert_eq!(info.element_bytes(), Some(4), "{name}");
        let (begin, end) = self.header.bytes_of(info);
        let words = self.bytes[begin as usize..end as usize].chunks_exact(4).map(|b| b.try_into().unwrap());
        (info.shape.iter().map(|&s| s as usize).collect(), words.collect())
    }

    fn tensor(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, words) = self.words(name);
        (shape, words.into_iter().map(f32::from_le_bytes).collect())
    }

    fn ids(&self, name: &str) -> Vec<i32> {
        self.words(name).1.into_iter().map(i32::from_le_bytes).collect()
    }
}

fn max_error(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
