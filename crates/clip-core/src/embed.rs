//! Embeddings of any number of images and captions, in chunks that bound memory.

use crate::config::{ClipConfig, TextConfig};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::eval::label_embeddings;
use crate::model::{Clip, TextBatch, image_count, pixel_batch};
use crate::preprocess::Preprocess;

/// Inputs per forward pass: enough to keep a device busy, few enough for a tab's memory.
pub(crate) const CHUNK: usize = 64;

/// Encodes images.
///
/// # Shapes
/// - pixels: `[count, 3, size, size]`, normalised, row-major
/// - output: `[count, embed_dim]`, rows of unit length
///
/// # Errors
/// `empty-batch`, `shape-mismatch` if the number of values is not a multiple of an image's, `missing-tower`, `device-failed`.
pub async fn embed_pixels(model: &Clip, config: &ClipConfig, pixels: &[f32]) -> Result<Vec<f32>> {
    model.image_tower()?;
    let device = model.device();
    // all inputs are checked before the first is encoded
    let each = pixels.len() / image_count(pixels, &config.vision)?;
    let mut out = Vec::new();
    for chunk in pixels.chunks(CHUNK * each) {
        out.extend(read(model.encode_image(pixel_batch(chunk.to_vec(), &config.vision, &device)?)?).await?);
    }
    Ok(out)
}

/// Encodes images that are resized and cropped. They are normalised chunk by chunk, as f32 takes four times the memory.
///
/// # Shapes
/// - squares: `[count, 3, size, size]`, from [`Preprocess::square`]
/// - output: `[count, embed_dim]`, rows of unit length
///
/// # Errors
/// `empty-batch`, `shape-mismatch` for a transform of another size than the model's, `missing-tower`, `device-failed`.
pub async fn embed_squares(
    model: &Clip,
    config: &ClipConfig,
    preprocess: &Preprocess,
    squares: &[u8],
) -> Result<Vec<f32>> {
    model.image_tower()?;
    if squares.is_empty() {
        return Err(ClipError::EmptyBatch { what: "image".into() });
    }
    let device = model.device();
    let each = 3 * preprocess.size * preprocess.size;
    let mut out = Vec::new();
    for chunk in squares.chunks(CHUNK * each) {
        let pixels = pixel_batch(preprocess.normalize(chunk), &config.vision, &device)?;
        out.extend(read(model.encode_image(pixels)?).await?);
    }
    Ok(out)
}

/// Encodes captions.
///
/// # Shapes
/// - ids: `[count, context_length]`, row-major
/// - output: `[count, embed_dim]`, rows of unit length
///
/// # Errors
/// `empty-batch`, `shape-mismatch`, `token-out-of-range`, `missing-tower`, `device-failed`.
pub async fn embed_ids(model: &Clip, config: &TextConfig, ids: &[i32]) -> Result<Vec<f32>> {
    model.text_tower()?;
    // all inputs are checked before the first is encoded
    TextBatch::new(ids, ids.len().div_ceil(config.context_length), config)?;
    let mut out = Vec::new();
    for chunk in ids.chunks(CHUNK * config.context_length) {
        let batch = TextBatch::new(chunk, chunk.len() / config.context_length, config)?;
        out.extend(read(model.encode_text(&batch)?).await?);
    }
    Ok(out)
}

/// Encodes captions of labels and averages those of each label ([`label_embeddings`]), chunk by chunk.
///
/// # Shapes
/// - ids: `[labels * per_label, context_length]`, grouped by label
/// - output: `[labels, embed_dim]`, rows of unit length
///
/// # Errors
/// Those of [`embed_ids`]; `shape-mismatch` if `per_label` does not divide the number of captions.
pub async fn embed_labels(model: &Clip, config: &ClipConfig, ids: &[i32], per_label: usize) -> Result<Vec<f32>> {
    if ids.is_empty() || per_label == 0 {
        return Err(ClipError::EmptyBatch { what: "label".into() });
    }
    let mut out = Vec::new();
    for labels in ids.chunks(CHUNK * per_label * config.text.context_length) {
        let captions = embed_ids(model, &config.text, labels).await?;
        out.extend(label_embeddings(&captions, per_label, config.embed_dim)?);
    }
    Ok(out)
}
