//! Zero-shot classification (arXiv 2103.00020, section 3.1): a classifier from the embeddings of prompts.

use crate::config::Objective;
use crate::error::{ClipError, Result};

/// Returns the embedding of each label: the mean of its prompts' embeddings, scaled to length one (section 3.1.4).
///
/// # Shapes
/// - prompts: `[labels * per_label, embed_dim]`, rows of length one, grouped by label
/// - output: `[labels, embed_dim]`, rows of length one
///
/// # Errors
/// `empty-batch`, `shape-mismatch`.
pub fn label_embeddings(prompts: &[f32], per_label: usize, embed_dim: usize) -> Result<Vec<f32>> {
    let group = per_label * embed_dim;
    if prompts.is_empty() || group == 0 {
        return Err(ClipError::EmptyBatch { what: "label".into() });
    }
    if !prompts.len().is_multiple_of(group) {
        return Err(ClipError::ShapeMismatch {
            what: "prompts".into(),
            expected: format!("[labels * {per_label}, {embed_dim}]"),
            got: format!("{} values", prompts.len()),
        });
    }
    let mut out = Vec::with_capacity(prompts.len() / per_label);
    for label in prompts.chunks_exact(group) {
        let sum = |i: usize| label[i..].iter().step_by(embed_dim).map(|&x| f64::from(x)).sum::<f64>();
        let sums: Vec<f64> = (0..embed_dim).map(sum).collect();
        let norm = sums.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        out.extend(sums.into_iter().map(|x| (x / norm) as f32));
    }
    Ok(out)
}

/// Turns logits into probabilities: a softmax over the texts of each image, or a sigmoid of each logit, by the model's objective.
///
/// # Shapes
/// - logits, output: `[images, texts]`
///
/// # Errors
/// `empty-batch`, `shape-mismatch`.
pub fn probabilities(logits: &[f32], texts: usize, objective: Objective) -> Result<Vec<f32>> {
    if logits.is_empty() || texts == 0 {
        return Err(ClipError::EmptyBatch { what: "text".into() });
    }
    if !logits.len().is_multiple_of(texts) {
        return Err(ClipError::ShapeMismatch {
            what: "logits".into(),
            expected: format!("[images, {texts}]"),
            got: format!("{} values", logits.len()),
        });
    }
    Ok(match objective {
        Objective::Sigmoid => logits.iter().map(|&x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32).collect(),
        Objective::Softmax => logits
            .chunks_exact(texts)
            .flat_map(|row| {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - most).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.into_iter().map(move |x| (x / sum) as f32)
            })
            .collect(),
    })
}

/// Shares of classified images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Images whose class has the highest score.
    pub top_1: f64,
    /// Images whose class is among the five highest.
    pub top_5: f64,
}

/// Accuracy of scores. Equal scores rank by index, as in [`rank_of`](super::rank_of).
///
/// # Shapes
/// - scores: `[images, classes]`; labels: `[images]`
///
/// # Errors
/// `empty-batch` without images; `shape-mismatch` for another number of scores, or a label that is no class.
pub fn accuracy(scores: &[f32], classes: usize, labels: &[usize]) -> Result<Accuracy> {
    if labels.is_empty() || classes == 0 {
        return Err(ClipError::EmptyBatch { what: "image".into() });
    }
    if scores.len() != labels.len() * classes || labels.iter().any(|&label| label >= classes) {
        return Err(ClipError::ShapeMismatch {
            what: "scores".into(),
            expected: format!("[{}, {classes}] and labels below {classes}", labels.len()),
            got: format!("{} values", scores.len()),
        });
    }
    let ranks: Vec<usize> =
        scores.chunks_exact(classes).zip(labels).map(|(row, &label)| super::rank_of(row, &[label])).collect();
    let among = |k: usize| ranks.iter().filter(|&&rank| rank <= k).count() as f64 / ranks.len() as f64;
    Ok(Accuracy { top_1: among(1), top_5: among(5) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_normalised_mean_of_its_prompts() {
        let got = label_embeddings(&[1.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0], 2, 2).unwrap();
        let half = core::f32::consts::FRAC_1_SQRT_2;
        assert_eq!(got, [half, half, 0.0, -1.0]);
        assert_eq!(label_embeddings(&[], 1, 2).unwrap_err().code(), "empty-batch");
        assert_eq!(label_embeddings(&[1.0; 6], 2, 2).unwrap_err().code(), "shape-mismatch");
    }

    #[test]
    fn softmax_rows_sum_to_1_and_sigmoids_are_independent() {
        let soft = probabilities(&[1000.0, 1000.0, -50.0, 50.0], 2, Objective::Softmax).unwrap();
        assert_eq!((soft[0], soft[1]), (0.5, 0.5));
        assert!(soft[2] < 1e-30 && soft[3] == 1.0);
        assert_eq!(probabilities(&[0.0, 1000.0, -1000.0], 3, Objective::Sigmoid).unwrap(), [0.5, 1.0, 0.0]);
        assert_eq!(probabilities(&[0.0; 3], 2, Objective::Sigmoid).unwrap_err().code(), "shape-mismatch");
    }

    #[test]
    fn accuracy_counts_the_highest_scores() {
        let scores = [0.1, 0.9, 0.0, 0.5, 0.5, 0.5];
        assert_eq!(accuracy(&scores, 3, &[1, 0]).unwrap(), Accuracy { top_1: 1.0, top_5: 1.0 });
        // of equal scores the first is the highest
        assert_eq!(accuracy(&scores, 3, &[2, 1]).unwrap(), Accuracy { top_1: 0.0, top_5: 1.0 });
        let six = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        assert_eq!(accuracy(&six, 6, &[5]).unwrap().top_5, 0.0);
        assert_eq!(accuracy(&[], 3, &[]).unwrap_err().code(), "empty-batch");
        assert_eq!(accuracy(&six, 3, &[3, 0]).unwrap_err().code(), "shape-mismatch");
    }
}
