//! Gradients, AdamW and Muon steps, and learning rates, against PyTorch.

use burn::optim::GradientsParams;
use burn::tensor::TensorData;
use serde_json::Value;

use super::*;
use crate::checkpoint::{Layout, LoadOptions, load, save, save_gradients};
use crate::config::ClipConfig;
use crate::device::cpu;
use crate::eval::LinearProbe;
use crate::model::{MatmulPrecision, TextBatch};
use crate::train::{Decay, LossOptions, MuonOptions, Schedule, StepOptions, Trainer};

fn trainer(logit_scale: Option<f32>) -> (Trainer, ClipConfig) {
    let config = ClipConfig::from_json(&text("training/hf_config.json")).unwrap();
    let bytes = fixture("training/init.hf.safetensors");
    let mut model = load(&bytes, &config, LoadOptions::default(), &cpu().autodiff()).unwrap();
    if let Some(value) = logit_scale {
        model.logit_scale = model.logit_scale.map(|x| (x * 0.0 + value).detach().require_grad());
    }
    (Trainer::new(model), config)
}

fn batch_of(file: &str, count: usize, config: &ClipConfig) -> (Tensor<4>, TextBatch) {
    let golden = Golden::open(file);
    let (shape, pixels) = golden.tensor("pixel_values");
    let pixels = Tensor::from_data(TensorData::new(pixels, shape), &cpu().autodiff());
    (pixels, TextBatch::new(&golden.ids("input_ids"), count, &config.text).unwrap())
}

fn batch(config: &ClipConfig) -> (Tensor<4>, TextBatch) {
    batch_of("training/batch8.safetensors", 8, config)
}

/// Compares gradients, relative to each tensor's largest value.
fn assert_gradients(trainer: &Trainer, config: &ClipConfig, grads: &GradientsParams, file: &str) {
    let got = block_on_cpu(save_gradients(trainer.model(), config, grads, Layout::OpenClip)).unwrap();
    let got = Golden::new(got);
    let golden = Golden::open(file);
    assert_eq!(got.names().len(), golden.names().len());
    for name in golden.names() {
        let (shape, expected) = golden.tensor(name);
        let (got_shape, got) = got.tensor(name);
        assert_eq!(got_shape, shape, "{name}");
        let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
        let error = max_error(&got, &expected) / largest;
        assert!(error <= 1e-4, "{name}: {error}");
    }
}

#[test]
fn gradient_of_every_parameter() {
    let (trainer, config) = trainer(None);
    let (loss, grads) = block_on_cpu(trainer.gradients(&batch(&config), &LossOptions::default())).unwrap();
    let expected = json("training/training.json")["grads"]["loss"].as_f64().unwrap();
    assert!((f64::from(loss) - expected).abs() < 1e-5, "{loss}");
    assert_gradients(&trainer, &config, &grads, "training/grads.safetensors");
}

/// Distance from PyTorch's gradient in f32, relative to its norm, with all parameters as one vector.
fn relative_error(trainer: &Trainer, config: &ClipConfig, grads: &GradientsParams) -> f64 {
    let got = Golden::new(block_on_cpu(save_gradients(trainer.model(), config, grads, Layout::OpenClip)).unwrap());
    let golden = Golden::open("training/grads.safetensors");
    let (mut error, mut norm) = (0.0, 0.0);
    for name in golden.names() {
        for (got, expected) in got.tensor(name).1.iter().zip(golden.tensor(name).1) {
            error += f64::from(got - expected).powi(2);
            norm += f64::from(expected).powi(2);
        }
    }
    (error / norm).sqrt()
}

/// Rounding differs, so that values do; its size is compared instead.
#[test]
fn half_precision_rounds_as_much_as_torch_autocast() {
    let golden = json("training/autocast.json");
    for precision in [MatmulPrecision::F16, MatmulPrecision::Bf16] {
        let (mut trainer, config) = trainer(None);
        trainer.set_precision(precision);
        let (loss, grads) = block_on_cpu(trainer.gradients(&batch(&config), &LossOptions::default())).unwrap();
        let of_torch = &golden[precision.name()];
        let expected = of_torch["relative_error_of_gradient"].as_f64().unwrap();
        let error = relative_error(&trainer, &config, &grads);
        assert!((0.3 * expected..1.2 * expected).contains(&error), "{precision}: {error}, PyTorch {expected}");
        let [full, half] = [&golden["loss"], &of_torch["loss"]].map(|loss| loss.as_f64().unwrap());
        assert!((f64::from(loss) - full).abs() < 2.0 * (half - full).abs(), "{precision}: {loss}, PyTorch {half}");
    }
}

#[test]
fn gradcache_and_activation_checkpointing_keep_the_gradients() {
    let (trainer, config) = trainer(None);
    let batch = batch_of("training/batch32.safetensors", 32, &config);
    let (whole, _) = block_on_cpu(trainer.gradients(&batch, &LossOptions::default())).unwrap();
    for (micro, activation_checkpointing) in
        [(1, false), (5, false), (8, false), (31, false), (32, false), (100, false), (8, true), (100, true)]
    {
        let options = LossOptions { micro_batch_size: Some(micro), activation_checkpointing, ..LossOptions::default() };
        let (loss, grads) = block_on_cpu(trainer.gradients(&batch, &options)).unwrap();
        assert!((loss - whole).abs() < 1e-5, "{micro}: {loss} {whole}");
        assert_gradients(&trainer, &config, &grads, "training/gradcache.grads.safetensors");
    }
}

/// Without golden values: the whole batch is the reference.
#[test]
fn gradcache_keeps_the_gradients_of_every_loss() {
    for objective in ["softmax", "sigmoid"] {
        let mut config: Value =
            serde_json::from_str(&ClipConfig::from_json(&text("training/hf_config.json")).unwrap().to_json()).unwrap();
        config["objective"] = objective.into();
        let config = ClipConfig::from_json(&config.to_string()).unwrap();
        let trainer = Trainer::new(config.init(1, &cpu().autodiff()));
        let (pixels, _) = batch(&config);
        let golden = Golden::open("training/batch8.safetensors");
        let mut ids = golden.ids("input_ids");
        // pairs 0, 3 and 6 have the same caption
        for copy in [3, 6] {
            ids.copy_within(0..16, copy * 16);
        }
        let batch = (pixels, TextBatch::new(&ids, 8, &config.text).unwrap());
        let of = |micro_batch_size| {
            let options =
                LossOptions { micro_batch_size, label_smoothing: 0.1, mask_duplicates: true, ..LossOptions::default() };
            let (loss, grads) = block_on_cpu(trainer.gradients(&batch, &options)).unwrap();
            (loss, block_on_cpu(save_gradients(trainer.model(), &config, &grads, Layout::OpenClip)).unwrap())
        };
        let (loss, whole) = of(None);
        let whole = Golden::new(whole);
        for micro in [1, 3, 4] {
            let (part_loss, parts) = of(Some(micro));
            assert!((loss - part_loss).abs() < 1e-5, "{objective} {micro}: {loss} {part_loss}");
            let parts = Golden::new(parts);
            assert_eq!(parts.names().len(), whole.names().len());
            for name in whole.names() {
                let (expected, got) = (whole.tensor(name).1, parts.tensor(name).1);
                let largest = expected.iter().fold(1e-4f32, |m, x| m.max(x.abs()));
                assert!(max_error(&got, &expected) <= 1e-4 * largest, "{objective} {micro} {name}");
            }
        }
    }
}

#[test]
fn gradients_are_clipped_by_norm() {
    let (mut plain, config) = trainer(None);
    let batch = batch(&config);
    let expected = json("training/training.json")["trace"][0]["grad_norm"].as_f64().unwrap();
    let step = |trainer: &mut Trainer, clip_norm| {
        let options = StepOptions { clip_norm, ..StepOptions::default() };
        let norm = block_on_cpu(trainer.train_step(&batch, 5e-4, &options)).unwrap().gradient_norm;
        (norm, block_on_cpu(save(&trainer.inference_model(), &config, Layout::OpenClip, Default::default())).unwrap())
    };
    let (_, unclipped) = step(&mut plain, None);
    let (mut loose, _) = trainer(None);
    let (norm, same) = step(&mut loose, Some(expected * 2.0));
    assert!((f64::from(norm) - expected).abs() < 1e-3 * expected, "{norm:?} {expected}");
    assert!(same == unclipped);
    // Adam's first step is independent of the gradient's norm, but for epsilon
    let (mut tight, _) = trainer(None);
    let (_, clipped) = step(&mut tight, Some(1e-6));
    let (a, b) = (Golden::new(clipped), Golden::new(unclipped));
    let name = "visual.conv1.weight";
    assert!(max_error(&a.tensor(name).1, &b.tensor(name).1) > 1e-4);
}

#[test]
fn parameters_after_1_2_and_10_steps() {
    let (mut trainer, config) = trainer(None);
    let batch = batch(&config);
    let notes = json("training/training.json");
    let start = fixture("training/init.hf.safetensors");
    let start = load(&start, &config, LoadOptions::default(), &cpu()).unwrap();
    let start = block_on_cpu(save(&start, &config, Layout::OpenClip, Default::default())).unwrap();
    let start = Golden::new(start);
    for step in 1..=10 {
        let report = block_on_cpu(trainer.train_step(&batch, 5e-4, &StepOptions::default())).unwrap();
        let expected = notes["trace"][step - 1]["loss_before"].as_f64().unwrap();
        assert!((f64::from(report.loss) - expected).abs() <= 1e-3 * expected, "step {step}: {}", report.loss);
        let Some(golden) =
            [1, 2, 10].contains(&step).then(|| fixture(&format!("training/params.step{step}.safetensors")))
        else {
            continue;
        };
        let golden = Golden::new(golden);
        let got =
            block_on_cpu(save(&trainer.inference_model(), &config, Layout::OpenClip, Default::default())).unwrap();
        let got = Golden::new(got);
        for name in golden.names() {
            let (mut expected, mut got) = (golden.tensor(name).1, got.tensor(name).1);
            let mut start = start.tensor(name).1;
            if name.ends_with("in_proj_bias") {
                // gradients of key biases are 0 but for rounding
                let third = got.len() / 3;
                for values in [&mut expected, &mut got, &mut start] {
                    values.drain(third..2 * third);
                }
            }
            let error = max_error(&got, &expected);
            assert!(error <= 5e-5, "step {step} {name}: {error}");
            let norm = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            let relative = norm(&got, &expected) / norm(&expected, &start);
            assert!(relative <= 3e-3, "step {step} {name}: {relative}");
        }
    }
}

#[test]
fn logit_scale_is_clamped_after_each_step() {
    for run in json("training/training.json")["clamp"].as_array().unwrap() {
        let (mut trainer, config) = trainer(Some(run["logit_scale_start"].as_f64().unwrap() as f32));
        let batch = batch(&config);
        for expected in run["trace"].as_array().unwrap() {
            let Some(after) = expected["logit_scale_after"].as_f64() else { continue };
            let report = block_on_cpu(trainer.train_step(&batch, 5e-4, &StepOptions::default())).unwrap();
            let loss = expected["loss_before"].as_f64().unwrap();
            assert!((f64::from(report.loss) - loss).abs() <= 1e-3 * loss.abs(), "{report:?} {expected}");
            let got = values(trainer.model().logit_scale.val().inner())[0];
            assert!((f64::from(got) - after).abs() < 5e-5, "{got} {after}");
        }
    }
}

#[test]
fn learning_rates() {
    for run in json("training/training.json")["lr_schedule"].as_array().unwrap() {
        let of = |key: &str| run[key].as_u64().unwrap() as usize;
        let base = run["base_lr"].as_f64().unwrap();
        let schedule = Schedule::new(base, of("warmup"), of("total_steps"), Decay::Cosine).unwrap();
        let rates: Vec<(usize, f64)> = match run["at"].as_object() {
            Some(at) => at.iter().map(|(step, rate)| (step.parse().unwrap(), rate.as_f64().unwrap())).collect(),
            None => run["lr"].as_array().unwrap().iter().map(|rate| rate.as_f64().unwrap()).enumerate().collect(),
        };
        for (step, expected) in rates {
            let got = schedule.at(step);
            assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1e-300), "step {step}: {got} {expected}");
        }
    }
}

#[test]
fn invalid_batches_and_a_nan_loss_leave_the_model_unchanged() {
    let (mut trainer, config) = trainer(None);
    let (pixels, _) = batch(&config);
    let one = TextBatch::new(&[3; 16], 1, &config.text).unwrap();
    let single = pixels.clone().narrow(0, 0, 1);
    assert_eq!(
        block_on_cpu(trainer.train_step(&(single, one.clone()), 1e-3, &StepOptions::default())).unwrap_err().code(),
        "batch-too-small"
    );
    assert_eq!(
        block_on_cpu(trainer.train_step(&(pixels.clone(), one), 1e-3, &StepOptions::default())).unwrap_err().code(),
        "count-mismatch"
    );
    let (_, texts) = batch(&config);
    let before = block_on_cpu(save(&trainer.inference_model(), &config, Layout::Hf, Default::default())).unwrap();
    let error =
        block_on_cpu(trainer.train_step(&(pixels * f32::NAN, texts), 1e-3, &StepOptions::default())).unwrap_err();
    assert_eq!(error.code(), "loss-not-finite");
    let after = block_on_cpu(save(&trainer.inference_model(), &config, Layout::Hf, Default::default())).unwrap();
    assert_eq!((trainer.step(), before == after), (0, true));
}

#[test]
fn three_steps_of_muon() {
    let golden = Golden::open("training/muon.safetensors");
    let options = MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.1 };
    let matrix = |name: &str| {
        let (shape, data) = golden.tensor(name);
        // torch has [d_out, d_in]
        let dims = [shape[0], shape[1]];
        Tensor::<2>::from_data(TensorData::new(data, dims), &cpu()).transpose()
    };
    for name in ["square", "tall", "wide", "qkv"] {
        let parts = if name == "qkv" { 3 } else { 1 };
        let (mut value, mut momentum) = (matrix(&format!("{name}.start")), None);
        for step in 1..=3 {
            let gradient = matrix(&format!("{name}.gradient.{step}"));
            let (next, moment) = options.step(0.02, value, momentum, gradient, parts);
            (value, momentum) = (next, Some(moment));
            let error = max_error(&values(value.clone()), &values(matrix(&format!("{name}.after.{step}"))));
            assert!(error < 2e-6, "{name} after step {step}: {error}");
        }
    }
}

#[test]
fn linear_probes_of_scikit_learn() {
    let golden = Golden::open("training/probe.safetensors");
    let (shape, features) = golden.tensor("features");
    let classes: Vec<u32> = golden.ids("classes").into_iter().map(|class| class as u32).collect();
    for c in ["0.316", "10.0"] {
        let probe = LinearProbe::fit(&features, shape[1], &classes, 4, c.parse().unwrap()).unwrap();
        let expected = golden.tensor(&format!("weights.{c}")).1;
        let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
        let error = max_error(&probe.weights, &expected);
        assert!(error < 1e-3 * largest, "{c}: {error} of {largest}");
        let got = probe.probabilities(&features).unwrap();
        let error = max_error(&got, &golden.tensor(&format!("probabilities.{c}")).1);
        assert!(error < 5e-4, "{c}: {error}");
    }
}
