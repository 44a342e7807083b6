//! Our native half of `npm run bench:step` and `npm run bench:native`: `training_step MODEL BATCH THREADS REPEATS` prints the milliseconds
//! of training steps as JSON. MODEL is `emoji` or the name of a published shape.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a short command-line program that makes its own input")]

use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use clipwright_core::config::ClipConfig;
use clipwright_core::device::{block_on_cpu, cpu};
use clipwright_core::model::TextBatch;
use clipwright_core::train::{StepOptions, Trainer};

const EMOJI: &str = r#"{"embedDim": 128,
    "vision": {"imageSize": 32, "patchSize": 8, "width": 128, "layers": 4, "heads": 4},
    "text": {"contextLength": 16, "vocabSize": 3909, "width": 128, "layers": 4, "heads": 4}}"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pairs, threads, repeats] = [1, 2, 3].map(|i: usize| arguments[i].parse::<usize>().unwrap());
    let config = match arguments[0].as_str() {
        "emoji" => ClipConfig::from_json(EMOJI).unwrap(),
        name => ClipConfig::preset(name).unwrap(),
    };
    // as the program `clipwright` does
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global().unwrap();
    let mut trainer = Trainer::new(config.init(1, &cpu().autodiff()));
    let (side, length, words) = (config.vision.image_size(), config.text.context_length, config.text.vocab_size - 1);
    let pixels: Vec<f32> = (0..pairs * 3 * side * side).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    // the end at the last place: captions are not cut
    let id = |i: usize| if i % length == length - 1 { words } else { i * 7919 % words };
    let ids: Vec<i32> = (0..pairs * length).map(|i| id(i) as i32).collect();
    let images = Tensor::<4>::from_data(TensorData::new(pixels, [pairs, 3, side, side]), &trainer.device());
    let batch = (images, TextBatch::new(&ids, pairs, &config.text).unwrap());
    let mut milliseconds = Vec::new();
    // the first step creates the moments
    for step in 0..=repeats {
        let began = Instant::now();
        block_on_cpu(trainer.train_step(&batch, 1e-4, &StepOptions::default())).unwrap();
        if step > 0 {
            milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{}", serde_json::json!({ "ms": milliseconds }));
}
