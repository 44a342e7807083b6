//! Embeddings of any number of images and captions, in bounded memory.

use crate::config::{ClipConfig, TextConfig};
use crate::device::read;
use crate::error::Result;
use crate::model::{Clip, TextBatch, image_count, pixel_batch};

/// Inputs in one pass of a tower: enough to keep it busy, few enough for a tab's memory.
pub(crate) const CHUNK: usize = 64;

/// # Shapes
/// - pixels: `[count, 3, size, size]`, normalised, row-major
/// - output: `[count, embed_dim]`, rows of length one
///
/// # Errors
/// `empty-batch`, `shape-mismatch` where the values are no whole number of images, `missing-tower`, `device-failed`.
pub async fn embed_pixels(model: &Clip, config: &ClipConfig, pixels: &[f32]) -> Result<Vec<f32>> {
    model.image_tower()?;
    let device = model.device();
    // refuses all before any is encoded
    let each = pixels.len() / image_count(pixels, &config.vision)?;
    let mut out = Vec::new();
    for chunk in pixels.chunks(CHUNK * each) {
        out.extend(read(model.encode_image(pixel_batch(chunk, &config.vision, &device)?)?).await?);
    }
    Ok(out)
}

/// # Shapes
/// - ids: `[count, context_length]`, row-major
/// - output: `[count, embed_dim]`, rows of length one
///
/// # Errors
/// `empty-batch`, `shape-mismatch`, `token-out-of-range`, `missing-tower`, `device-failed`.
pub async fn embed_ids(model: &Clip, config: &TextConfig, ids: &[i32]) -> Result<Vec<f32>> {
    model.text_tower()?;
    // refuses all before any is computed
    TextBatch::new(ids, ids.len().div_ceil(config.context_length), config)?;
    let mut out = Vec::new();
    for chunk in ids.chunks(CHUNK * config.context_length) {
        let batch = TextBatch::new(chunk, chunk.len() / config.context_length, config)?;
        out.extend(read(model.encode_text(&batch)?).await?);
    }
    Ok(out)
}
