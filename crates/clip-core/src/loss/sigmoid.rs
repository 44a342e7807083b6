//! SigLIP's pairwise sigmoid loss (arXiv 2303.15343, algorithm 1).

use burn::tensor::{Tensor, TensorData, activation::log_sigmoid};

use super::Negatives;

/// Binary cross-entropy of each image–caption combination: `-Σ log σ(z (t x·y + b)) / N` with z = 1 on the diagonal and -1 off it, as
/// `SigLipLoss` of <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/loss.py>.
#[derive(Debug, Clone, Default)]
pub struct SigmoidLoss {
    /// Pairs that do not match.
    pub negatives: Negatives,
}

impl SigmoidLoss {
    /// # Shapes
    /// - logits_per_image: `[batch, batch]`, bias included
    /// - output: `[1]`
    pub fn forward(&self, logits_per_image: Tensor<2>) -> Tensor<1> {
        self.rows(logits_per_image, 0)
    }

    /// Returns what some rows add to the loss, in groups of any size.
    ///
    /// # Shapes
    /// - logits: `[rows, batch]`, bias included; row 0 belongs to pair `first`
    /// - output: `[1]`
    pub fn rows(&self, logits: Tensor<2>, first: usize) -> Tensor<1> {
        let ([count, n], device) = (logits.dims(), logits.device());
        let mut labels = vec![-1.0f32; count * n];
        // the pair itself in each row
        labels.iter_mut().skip(first).step_by(n + 1).for_each(|x| *x = 1.0);
        let labels = Tensor::<2>::from_data(TensorData::new(labels, [count, n]), &device);
        let log_likelihood = log_sigmoid(logits * labels);
        let log_likelihood = match self.negatives.ignored(first..first + count, n, &device) {
            Some(ignored) => log_likelihood.mask_fill(ignored, 0.0),
            None => log_likelihood,
        };
        log_likelihood.sum() * (-1.0 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn confident_logits_cost_nothing_if_right_and_their_size_if_wrong() {
        let loss = |rows: [[f32; 2]; 2]| -> f32 {
            let logits = Tensor::<2>::from_data(rows, &Device::flex());
            SigmoidLoss::default().forward(logits).into_data().try_to_vec().unwrap()[0]
        };
        assert!(loss([[90.0, -90.0], [-90.0, 90.0]]).abs() < 1e-6);
        assert!((loss([[0.0; 2]; 2]) - 2.0 * 2f32.ln()).abs() < 1e-6);
        assert!((loss([[-90.0, -90.0], [-90.0, -90.0]]) - 90.0).abs() < 1e-4);
    }
}
