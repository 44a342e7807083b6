//! SigLIP's pairwise sigmoid loss (arXiv 2303.15343, algorithm 1).

use burn::tensor::{Tensor, TensorData, activation::log_sigmoid};

use super::Negatives;

/// Every pair judged alone, matching or not: `-Σ log σ(z (t x·y + b)) / N` with z = 1 on the diagonal and -1 off it, as
/// `SigLipLoss` of <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/loss.py>.
#[derive(Debug, Clone, Default)]
pub struct SigmoidLoss {
    /// What does not match.
    pub negatives: Negatives,
}

impl SigmoidLoss {
    /// # Shapes
    /// - logits_per_image: `[batch, batch]`, bias included
    /// - output: `[1]`
    pub fn forward(&self, logits_per_image: Tensor<2>) -> Tensor<1> {
        self.rows(logits_per_image, 0)
    }

    /// What some rows add to the loss, whatever rows are taken together.
    ///
    /// # Shapes
    /// - logits: `[rows, batch]`, bias included, of which the first is that of pair `first`
    /// - output: `[1]`
    pub fn rows(&self, logits: Tensor<2>, first: usize) -> Tensor<1> {
        let ([count, n], device) = (logits.dims(), logits.device());
        let mut labels = vec![-1.0f32; count * n];
        // row by row, the pair itself
        labels.iter_mut().skip(first).step_by(n + 1).for_each(|x| *x = 1.0);
        let labels = Tensor::<2>::from_data(TensorData::new(labels, [count, n]), &device);
        let judged = log_sigmoid(logits * labels);
        let judged = match self.negatives.ignored(first..first + count, n, &device) {
            Some(ignored) => judged.mask_fill(ignored, 0.0),
            None => judged,
        };
        judged.sum() * (-1.0 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn certain_and_right_costs_nothing_and_wrong_costs_the_logit() {
        let loss = |rows: [[f32; 2]; 2]| -> f32 {
            let logits = Tensor::<2>::from_data(rows, &Device::flex());
            SigmoidLoss::default().forward(logits).into_data().try_to_vec().unwrap()[0]
        };
        assert!(loss([[90.0, -90.0], [-90.0, 90.0]]).abs() < 1e-6);
        assert!((loss([[0.0; 2]; 2]) - 2.0 * 2f32.ln()).abs() < 1e-6);
        assert!((loss([[-90.0, -90.0], [-90.0, -90.0]]) - 90.0).abs() < 1e-4);
    }
}
