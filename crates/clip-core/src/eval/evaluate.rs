//! Retrieval over a data set.

use super::retrieval::{Recall, recall};
use crate::data::{PairDataset, embed_captions, embed_images};
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

/// How well each of `pairs` finds its other half among `pairs` and `distractors` together. Where an image has several
/// captions, each of them looks for it, and it looks for the nearest of them: Karpathy's protocol (arXiv 1412.2306).
///
/// # Errors
/// `empty-batch` without pairs, `device-failed`.
pub async fn evaluate(
    model: &Clip,
    embed_dim: usize,
    pairs: &PairDataset,
    distractors: Option<&PairDataset>,
) -> Result<Evaluation> {
    let (images, texts) = (embed_images(model, pairs).await?, embed_captions(model, pairs).await?);
    let (mut all_images, mut all_texts) = (images.clone(), texts.clone());
    if let Some(distractors) = distractors {
        all_images.extend(embed_images(model, distractors).await?);
        all_texts.extend(embed_captions(model, distractors).await?);
    }
    let captions_of: Vec<_> = (0..pairs.len()).map(|image| pairs.captions_of(image)).collect();
    let image_of: Vec<_> = captions_of
        .iter()
        .enumerate()
        .flat_map(|(image, captions)| captions.clone().map(move |_| image..image + 1))
        .collect();
    Ok(Evaluation {
        image_to_text: recall(&images, &all_texts, embed_dim, &captions_of)?,
        text_to_image: recall(&texts, &all_images, embed_dim, &image_of)?,
    })
}
