//! Times a training step of the emoji model natively, for `npm run bench:step`; prints the milliseconds of each repeat as JSON.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a short command-line program that makes its own input")]

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use clipwright_core::config::ClipConfig;
use clipwright_core::device::{block_on_cpu, cpu};
use clipwright_core::model::TextBatch;
use clipwright_core::train::{StepOptions, Trainer};

const MODEL: &str = r#"{"embedDim": 128,
    "vision": {"imageSize": 32, "patchSize": 8, "width": 128, "layers": 4, "heads": 4},
    "text": {"contextLength": 16, "vocabSize": 3909, "width": 128, "layers": 4, "heads": 4}}"#;
const PAIRS: usize = 256;
const WARM_UP: usize = 2;

fn main() {
    let repeats: usize = std::env::args().nth(1).map_or(5, |count| count.parse().unwrap());
    let config = ClipConfig::from_json(MODEL).unwrap();
    let mut trainer = Trainer::new(config.init(1, &cpu().autodiff()));
    let pixels: Vec<f32> = (0..PAIRS * 3 * 32 * 32).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let ids: Vec<i32> = (0..PAIRS * 16).map(|i| if i % 16 == 15 { 3908 } else { (i * 7919 % 3900) as i32 }).collect();
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [PAIRS, 3, 32, 32]), &trainer.device());
    let batch = (images, TextBatch::new(&ids, PAIRS, &config.text).unwrap());
    let mut milliseconds = Vec::new();
    for step in 0..WARM_UP + repeats {
        let began = Instant::now();
        block_on_cpu(trainer.train_step(&batch, 1e-3, &StepOptions::default())).unwrap();
        if step >= WARM_UP {
            milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{}", serde_json::json!({ "ms": milliseconds }));
}
