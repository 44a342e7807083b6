//! CLIP's symmetric cross-entropy (arXiv 2103.00020, figure 3).

use burn::tensor::{Tensor, activation::log_softmax};

use super::Negatives;

/// Logit of a masked entry: its softmax is 0, and it is finite, so that 0 × it is not NaN.
const MASKED: f32 = -1e30;

/// Mean cross-entropy over the rows and the columns of the N×N matrix of scaled similarities, with the matching pairs on the
/// diagonal: `ClipLoss` of
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/loss.py>.
#[derive(Debug, Clone, Default)]
pub struct ContrastiveLoss {
    /// Pairs that do not match.
    pub negatives: Negatives,
    /// Share of each target that is spread over the row, from 0 to below 1 (arXiv 1512.00567, section 7).
    pub label_smoothing: f64,
}

impl ContrastiveLoss {
    /// # Shapes
    /// - logits_per_image: `[batch, batch]`
    /// - output: `[1]`
    pub fn forward(&self, logits_per_image: Tensor<2>) -> Tensor<1> {
        self.rows(logits_per_image.clone(), 0) + self.rows(logits_per_image.transpose(), 0)
    }

    /// Returns what some rows of the similarities, of images with all texts or of texts with all images, add to the loss. The loss is
    /// the sum over all rows of both, in groups of any size.
    ///
    /// # Shapes
    /// - logits: `[rows, batch]`; row 0 belongs to pair `first`
    /// - output: `[1]`
    pub fn rows(&self, logits: Tensor<2>, first: usize) -> Tensor<1> {
        let ([count, n], device) = (logits.dims(), logits.device());
        let rows = first..first + count;
        let targets = self.negatives.targets(rows.clone(), n, self.label_smoothing, &device);
        let logits = match self.negatives.ignored(rows, n, &device) {
            Some(ignored) => logits.mask_fill(ignored, MASKED),
            None => logits,
        };
        (log_softmax(logits, 1) * targets).sum() * (-0.5 / n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{logits, normalize};
    use burn::tensor::Device;

    fn features(rows: [[f32; 3]; 3]) -> Tensor<2> {
        normalize(Tensor::from_data(rows, &Device::flex()))
    }

    fn loss(a: Tensor<2>, b: Tensor<2>, scale: f32) -> f32 {
        let scale = Tensor::from_data([scale], &Device::flex());
        ContrastiveLoss::default().forward(logits(a, b, scale)).into_data().try_to_vec().unwrap()[0]
    }

    #[test]
    fn equal_features_have_the_loss_ln_n() {
        let same = || features([[1.0, 2.0, 3.0]; 3]);
        assert!((loss(same(), same(), 4.0) - 3f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn loss_is_symmetric_and_falls_with_the_logit_scale_for_matching_pairs() {
        let a = || features([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let b = || features([[1.0, 0.2, 0.0], [0.3, 1.0, 0.0], [0.0, 0.1, 1.0]]);
        assert!((loss(a(), b(), 1.0) - loss(b(), a(), 1.0)).abs() < 1e-6);
        assert!(loss(a(), b(), 3.0) < loss(a(), b(), 1.0));
    }

    /// PyTorch: `F.cross_entropy(x, labels, label_smoothing=0.1)` both ways, x as below.
    #[test]
    fn label_smoothing_equals_pytorch() {
        let x = Tensor::<2>::from_data([[2.0, 0.5, -1.0], [0.0, 1.0, 0.25], [-0.5, 0.75, 3.0]], &Device::flex());
        let loss = ContrastiveLoss { label_smoothing: 0.1, ..ContrastiveLoss::default() };
        let got: f32 = loss.forward(x).into_data().try_to_vec().unwrap()[0];
        assert!((got - 0.487_246_2).abs() < 1e-6, "{got}");
    }

    #[test]
    fn duplicate_captions_are_not_negatives() {
        let device = Device::flex();
        let x = Tensor::<2>::from_data([[2.0, 9.0, -1.0], [8.0, 1.0, 0.25], [-0.5, 0.75, 3.0]], &device);
        let masked = ContrastiveLoss { negatives: Negatives::without_duplicates(vec![0, 0, 2]), label_smoothing: 0.0 };
        let got: f32 = masked.forward(x).into_data().try_to_vec().unwrap()[0];
        let pair = |own: f32, other: f32| (1.0 + (other - own).exp()).ln();
        let rows = pair(2.0, -1.0) + pair(1.0, 0.25) + (1.0 + (-3.5f32).exp() + (-2.25f32).exp()).ln();
        let columns = pair(2.0, -0.5) + pair(1.0, 0.75) + (1.0 + (-4.0f32).exp() + (-2.75f32).exp()).ln();
        assert!((got - (rows + columns) / 6.0).abs() < 1e-6, "{got}");
    }
}
