//! Tests that a device computes as the CPU does: a tiny model on both, forward and, in a build that trains, backward.
//!
//! Some GPU drivers compute wrongly without an error, and a wrong embedding looks like any other.

use burn::tensor::Device;

use crate::config::ClipConfig;
use crate::device::{cpu, rounds_to_tf32};
use crate::embed::{embed_ids, embed_pixels};
use crate::error::{ClipError, Result};

const MODEL: &str = r#"{"embedDim": 8,
    "vision": {"imageSize": 16, "patchSize": 8, "width": 24, "layers": 1, "heads": 2},
    "text": {"contextLength": 9, "vocabSize": 40, "width": 16, "layers": 1, "heads": 2, "activation": "gelu"}}"#;

const SEED: u64 = 7;

/// Pairs in the batch.
const PAIRS: usize = 3;

/// Allowed difference, relative to a tensor's largest value: sums in another order stay far below, wrong kernels are far above.
const TOLERANCE: f32 = 2e-3;

/// The same where products in f32 round their operands to TF32. Rounding the blocks' to f16, with as many bits, changes gradients by up
/// to 7e-3.
const TF32_TOLERANCE: f32 = 2e-2;

/// Names and values.
type Answers = Vec<(String, Vec<f32>)>;

/// Computes embeddings and, in a build that trains, the loss and the gradient of every parameter.
async fn run(device: &Device) -> Result<Answers> {
    let config = ClipConfig::from_json(MODEL)?;
    let size = config.vision.image_size();
    let pixels: Vec<f32> = (0..PAIRS * 3 * size * size).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let ids: Vec<i32> = (0..PAIRS * config.text.context_length).map(|i| (i * 7 % 39) as i32).collect();
    let model = config.init(SEED, device);
    let mut embeddings = embed_pixels(&model, &config, &pixels).await?;
    embeddings.extend(embed_ids(&model, &config.text, &ids).await?);
    let answers = vec![("embeddings".to_owned(), embeddings)];
    #[cfg(feature = "train")]
    let answers = [answers, crate::train::loss_and_gradients(&config, SEED, &pixels, &ids, device).await?].concat();
    Ok(answers)
}

/// Describes the first difference between two devices; `None` if they agree.
fn difference(got: &[(String, Vec<f32>)], expected: &[(String, Vec<f32>)], tolerance: f32) -> Option<String> {
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        // the minimum is for gradients of key biases, which are 0 but for rounding
        let largest = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        if got.len() != expected.len() {
            return Some(format!("{name} has {} values instead of {}", got.len(), expected.len()));
        }
        let wrong = |(a, b): (&f32, &f32)| {
            let error = (a - b).abs();
            (error.is_nan() || error > tolerance * largest).then_some(error)
        };
        if let Some(error) = got.iter().zip(expected).find_map(wrong) {
            return Some(format!("{name} differs by {error:e} of {largest:e}"));
        }
    }
    None
}

/// Computes on `device` and on the CPU, and compares.
///
/// # Errors
/// `device-failed` if they differ, or the device fails.
pub async fn self_test(device: &Device) -> Result<()> {
    let (got, expected) = (run(device).await?, run(&cpu()).await?);
    let tolerance = if rounds_to_tf32(device) { TF32_TOLERANCE } else { TOLERANCE };
    match difference(&got, &expected, tolerance) {
        None => Ok(()),
        Some(what) => Err(ClipError::DeviceFailed { message: format!("its results differ from the CPU's: {what}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::block_on_cpu;

    #[test]
    fn a_device_agrees_with_itself() {
        block_on_cpu(self_test(&cpu())).unwrap();
    }

    #[test]
    fn a_wrong_value_in_any_tensor_is_detected() {
        let right = block_on_cpu(run(&cpu())).unwrap();
        assert!(right.len() > 20);
        let wrong = |change: &dyn Fn(&mut Answers)| {
            let mut answers = block_on_cpu(run(&cpu())).unwrap();
            change(&mut answers);
            difference(&answers, &right, TOLERANCE)
        };
        assert_eq!(wrong(&|_| {}), None);
        assert!(wrong(&|a| a[0].1[3] += 0.01).is_some());
        assert!(wrong(&|a| a[0].1[3] = f32::NAN).is_some());
        assert!(wrong(&|a| a[0].1.clear()).is_some());
        for i in 0..right.len() {
            assert!(wrong(&|a| a[i].1[0] += 0.5).is_some(), "{}", right[i].0);
        }
    }
}
