//! Embeddings of a data set.

use super::PairDataset;
use crate::device::read;
use crate::embed::CHUNK;
use crate::error::Result;
use crate::model::Clip;

/// Encodes the images at `rows`.
///
/// # Shapes
/// - output: `[rows, embed_dim]`, rows of length one
///
/// # Errors
/// `missing-tower`, `device-failed`.
pub async fn embed_images(model: &Clip, pairs: &PairDataset, rows: &[usize]) -> Result<Vec<f32>> {
    let mut out = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        out.extend(read(model.encode_image(pairs.images(chunk, &model.device())?)?).await?);
    }
    Ok(out)
}

/// Encodes the captions at `rows`.
///
/// # Shapes
/// - output: `[rows, embed_dim]`, rows of length one
///
/// # Errors
/// `missing-tower`, `device-failed`.
pub async fn embed_captions(model: &Clip, pairs: &PairDataset, rows: &[usize]) -> Result<Vec<f32>> {
    let mut out = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        out.extend(read(model.encode_text(&pairs.texts(chunk)?)?).await?);
    }
    Ok(out)
}
