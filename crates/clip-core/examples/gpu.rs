//! Our half of `npm run bench:gpu`: `gpu MODEL BATCHES STEP` checks the kernels against the CPU's, then encodes and trains a model with
//! random weights on the platform's GPU. It prints a JSON line per task: milliseconds per call, from pixels or ids in memory to
//! embeddings read back. BATCHES are batch sizes, separated by commas; STEP is the batch size of a training step, or 0 for none.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a short command-line program that makes its own input")]

use std::time::Instant;

use burn::module::Param;
use burn::tensor::{FloatDType, Tensor, TensorData};
use clipwright_core::config::ClipConfig;
use clipwright_core::device::{Device, read, webgpu};
use clipwright_core::model::{MatmulPrecision, ParamMapper, TextBatch, map_params};
use clipwright_core::train::{StepOptions, Trainer};
use pollster::block_on;

const REPEATS: usize = 10;
const WARM_UP: usize = 3;

/// Casts matrices to half precision, as a loader does.
struct Halved;

impl ParamMapper for Halved {
    fn map<const D: usize>(&mut self, _path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D < 2 { param } else { param.map(|x| x.cast(FloatDType::F16)) }
    }
}

/// Returns the milliseconds of each call after the warm-up.
fn timed(mut call: impl FnMut()) -> Vec<f64> {
    let mut milliseconds = Vec::new();
    for turn in 0..WARM_UP + REPEATS {
        let began = Instant::now();
        call();
        if turn >= WARM_UP {
            milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    milliseconds
}

fn report(model: &str, task: &str, batch: usize, precision: &str, ms: &[f64]) {
    println!(
        "{}",
        serde_json::json!({ "model": model, "task": task, "batch": batch, "precision": precision, "ms": ms })
    );
}

/// Returns the pixels and ids of a batch.
fn inputs(config: &ClipConfig, batch: usize, device: &Device) -> (Tensor<4>, TextBatch) {
    let (side, context) = (config.vision.image_size(), config.text.context_length);
    let pixels: Vec<f32> = (0..batch * 3 * side * side).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let end = (config.text.vocab_size - 1) as i32;
    let id = |i: usize| if i % context == context - 1 { end } else { (i * 7919 % 49_000) as i32 };
    let ids: Vec<i32> = (0..batch * context).map(id).collect();
    (
        Tensor::from_data(TensorData::new(pixels, [batch, 3, side, side]), device),
        TextBatch::new(&ids, batch, &config.text).unwrap(),
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments[0].as_str();
    let batches: Vec<usize> = arguments[1].split(',').map(|batch| batch.parse().unwrap()).collect();
    let step: usize = arguments[2].parse().unwrap();
    let preset = if name == "vit-l-14" { "ViT-L-14-quickgelu" } else { "ViT-B-32-quickgelu" };
    let config = ClipConfig::preset(preset).unwrap();
    let device = block_on(webgpu()).unwrap();
    block_on(clip_kernels::conformance::check(&device)).unwrap();

    let full = config.init(1, &device);
    // an idle GPU takes a second to reach its clock rate
    let (pixels, _) = inputs(&config, 8, &device);
    let began = Instant::now();
    while began.elapsed().as_secs() < 2 {
        block_on(read(full.encode_image(pixels.clone()).unwrap())).unwrap();
    }
    for (precision, model) in [("f32", full.clone()), ("f16 weights", map_params(full, &mut Halved))] {
        for &batch in &batches {
            let (pixels, ids) = inputs(&config, batch, &device);
            let image = || drop(block_on(read(model.encode_image(pixels.clone()).unwrap())).unwrap());
            report(name, "image", batch, precision, &timed(image));
            let caption = || drop(block_on(read(model.encode_text(&ids).unwrap())).unwrap());
            report(name, "caption", batch, precision, &timed(caption));
        }
    }
    if step > 0 {
        let tracked = device.autodiff();
        for precision in [MatmulPrecision::F32, MatmulPrecision::F16] {
            if precision.check(&tracked).is_err() {
                continue;
            }
            let mut trainer = Trainer::new(config.init(1, &tracked));
            trainer.set_precision(precision);
            let batch = inputs(&config, step, &tracked);
            let ms = timed(|| {
                let step = block_on(trainer.train_step(&batch, 1e-6, &StepOptions::default())).unwrap();
                assert!(step.loss.is_finite());
            });
            report(name, "training step", step, precision.name(), &ms);
        }
    }
}
