//! Whether a device computes as the CPU does: a tiny model, forward and backward, on both.
//!
//! GPU drivers have answered wrongly without a word; a wrong embedding looks like any other.

use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{Header, Layout, save_gradients};
use crate::config::ClipConfig;
use crate::device::{cpu, read};
use crate::error::{ClipError, Result};
use crate::model::TextBatch;
use crate::train::{LossOptions, Trainer};

const MODEL: &str = r#"{"embedDim": 8,
    "vision": {"imageSize": 16, "patchSize": 8, "width": 24, "layers": 1, "heads": 2},
    "text": {"contextLength": 9, "vocabSize": 40, "width": 16, "layers": 1, "heads": 2, "activation": "gelu"}}"#;

/// Pairs in the batch.
const PAIRS: usize = 3;

/// Share of a tensor's largest value that may differ: sums in another order stay far below, a wrong kernel far above.
const TOLERANCE: f32 = 2e-3;

/// Embeddings, and the loss with the gradient of every parameter.
struct Answers {
    embeddings: Vec<f32>,
    gradients: Vec<(String, Vec<f32>)>,
}

async fn run(device: &Device) -> Result<Answers> {
    let config = ClipConfig::from_json(MODEL)?;
    let trainer = Trainer::new(config.init(7, &device.clone().autodiff()));
    let size = config.vision.image_size();
    let pixels: Vec<f32> = (0..PAIRS * 3 * size * size).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let ids: Vec<i32> = (0..PAIRS * config.text.context_length).map(|i| (i * 7 % 39) as i32).collect();
    let texts = TextBatch::new(&ids, PAIRS, &config.text)?;
    let images =
        |device: &Device| Tensor::<4>::from_data(TensorData::new(pixels.clone(), [PAIRS, 3, size, size]), device);
    let model = trainer.inference_model();
    let plain = model.device();
    let mut embeddings = read(model.encode_image(images(&plain))?).await?;
    embeddings.extend(read(model.encode_text(&texts)?).await?);
    let (loss, gradients) = trainer.gradients(&(images(&trainer.device()), texts), &LossOptions::default()).await?;
    let file = save_gradients(trainer.model(), &config, &gradients, Layout::OpenClip).await?;
    let header = Header::parse(&file, file.len() as u64)?;
    let mut names: Vec<&str> = header.names().collect();
    names.sort_unstable();
    let mut gradients = vec![("loss".to_owned(), vec![loss])];
    for name in names {
        let Some(info) = header.tensor(name) else { continue };
        let (begin, end) = header.bytes_of(info);
        let bytes = &file[begin as usize..end as usize];
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        gradients.push((name.into(), values));
    }
    Ok(Answers { embeddings, gradients })
}

/// Where two devices differ; nothing where they agree.
fn difference(got: &Answers, expected: &Answers) -> Option<String> {
    let all = |answers: &Answers| {
        let mut all = vec![("embeddings".to_owned(), answers.embeddings.clone())];
        all.extend(answers.gradients.iter().cloned());
        all
    };
    for ((name, got), (_, expected)) in all(got).into_iter().zip(all(expected)) {
        // a key's bias has no gradient but for rounding; the others' scale is the whole tensor's
        let largest = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        if got.len() != expected.len() {
            return Some(format!("{name} has {} values instead of {}", got.len(), expected.len()));
        }
        let wrong = |(a, b): (&f32, &f32)| {
            let error = (a - b).abs();
            (error.is_nan() || error > TOLERANCE * largest).then_some(error)
        };
        if let Some(error) = got.iter().zip(&expected).find_map(wrong) {
            return Some(format!("{name} differs by {error:e} of {largest:e}"));
        }
    }
    None
}

/// Computes on `device` and on the CPU, and compares.
///
/// # Errors
/// `device-failed` where they differ, or the device computes nothing.
pub async fn self_test(device: &Device) -> Result<()> {
    let (got, expected) = (run(device).await?, run(&cpu()).await?);
    match difference(&got, &expected) {
        None => Ok(()),
        Some(what) => {
            Err(ClipError::DeviceFailed { message: format!("expected the CPU's answers, got others: {what}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::block_on_cpu as now;

    #[test]
    fn a_device_agrees_with_itself() {
        now(self_test(&cpu())).unwrap();
    }

    #[test]
    fn a_wrong_value_anywhere_is_seen() {
        let right = now(run(&cpu())).unwrap();
        assert!(right.gradients.len() > 20);
        let wrong = |change: &dyn Fn(&mut Answers)| {
            let mut answers = now(run(&cpu())).unwrap();
            change(&mut answers);
            difference(&answers, &right)
        };
        assert_eq!(wrong(&|_| {}), None);
        assert!(wrong(&|a| a.embeddings[3] += 0.01).is_some());
        assert!(wrong(&|a| a.embeddings[3] = f32::NAN).is_some());
        assert!(wrong(&|a| a.embeddings.clear()).is_some());
        for i in 0..right.gradients.len() {
            assert!(wrong(&|a| a.gradients[i].1[0] += 0.5).is_some(), "{}", right.gradients[i].0);
        }
    }
}
