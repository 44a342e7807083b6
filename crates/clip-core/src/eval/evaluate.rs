//! Retrieval over a data set.

use super::retrieval::{Recall, recall};
use crate::data::PairDataset;
use crate::embed::embed_pairs;
use crate::error::Result;
use crate::model::Clip;

/// Recall in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// An image looks for its caption.
    pub image_to_text: Recall,
    /// A caption looks for its image.
    pub text_to_image: Recall,
}

/// How well each of `pairs` finds its other half among `pairs` and `distractors` together.
///
/// # Errors
/// `empty-batch` without pairs, `device-failed`.
pub async fn evaluate(
    model: &Clip,
    embed_dim: usize,
    pairs: &PairDataset,
    distractors: Option<&PairDataset>,
) -> Result<Evaluation> {
    let (images, texts) = embed_pairs(model, pairs).await?;
    let (mut all_images, mut all_texts) = (images.clone(), texts.clone());
    if let Some(distractors) = distractors {
        let (more_images, more_texts) = embed_pairs(model, distractors).await?;
        all_images.extend(more_images);
        all_texts.extend(more_texts);
    }
    Ok(Evaluation {
        image_to_text: recall(&images, &all_texts, embed_dim)?,
        text_to_image: recall(&texts, &all_images, embed_dim)?,
    })
}
