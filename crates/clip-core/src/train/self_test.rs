//! The training half of the device self-test.

use burn::tensor::Device;

use super::{LossOptions, Trainer};
use crate::checkpoint::{Header, Layout, save_gradients};
use crate::config::ClipConfig;
use crate::error::Result;
use crate::model::{TextBatch, image_count, pixel_batch};

/// Returns the loss of a model with fresh weights, and the gradient of every parameter, by name.
///
/// # Shapes
/// - pixels: `[pairs, 3, size, size]`; ids: `[pairs, context_length]`
///
/// # Errors
/// `device-failed`.
pub(crate) async fn loss_and_gradients(
    config: &ClipConfig,
    seed: u64,
    pixels: &[f32],
    ids: &[i32],
    device: &Device,
) -> Result<Vec<(String, Vec<f32>)>> {
    let trainer = Trainer::new(config.init(seed, &device.clone().autodiff()));
    let texts = TextBatch::new(ids, image_count(pixels, &config.vision)?, &config.text)?;
    let images = pixel_batch(pixels.to_vec(), &config.vision, &trainer.device())?;
    let (loss, gradients) = trainer.gradients(&(images, texts), &LossOptions::default()).await?;
    let file = save_gradients(trainer.model(), config, &gradients, Layout::OpenClip).await?;
    let header = Header::parse(&file, file.len() as u64)?;
    let mut names: Vec<&str> = header.names().collect();
    names.sort_unstable();
    let mut results = vec![("loss".to_owned(), vec![loss])];
    for name in names {
        let Some(info) = header.tensor(name) else { continue };
        let (begin, end) = header.bytes_of(info);
        let bytes = file[begin as usize..end as usize].as_chunks().0;
        results.push((name.into(), bytes.iter().map(|&value| f32::from_le_bytes(value)).collect()));
    }
    Ok(results)
}
