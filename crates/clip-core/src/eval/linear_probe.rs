//! A linear probe (arXiv 2103.00020, section 3.2): multinomial logistic regression on a tower's features.

use crate::error::{ClipError, Result};

/// Weights of a multinomial logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    /// `[classes, dim + 1]`: each row holds the weights of the features, then the bias.
    pub weights: Vec<f32>,
    /// Number of features.
    pub dim: usize,
}

impl LinearProbe {
    /// Returns the probability of each class.
    ///
    /// # Shapes
    /// - features: `[count, dim]`
    /// - output: `[count, classes]`
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub fn probabilities(&self, features: &[f32]) -> Result<Vec<f32>> {
        if !features.len().is_multiple_of(self.dim) {
            return Err(ClipError::ShapeMismatch {
                what: "features".into(),
                expected: format!("[count, {}]", self.dim),
                got: format!("{} values", features.len()),
            });
        }
        let logit = |class: &[f32], x: &[f32]| {
            let dot: f64 = class.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
            dot + f64::from(class[self.dim])
        };
        let mut out = Vec::new();
        for x in features.chunks_exact(self.dim) {
            let logits: Vec<f64> = self.weights.chunks_exact(self.dim + 1).map(|class| logit(class, x)).collect();
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            out.extend(powers.into_iter().map(|power| (power / sum) as f32));
        }
        Ok(out)
    }
}
