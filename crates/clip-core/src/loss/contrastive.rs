//! CLIP's symmetric cross-entropy (arXiv 2103.00020, figure 3).

use burn::tensor::{Tensor, TensorData, activation::log_softmax};

/// The mean of the cross-entropies over the rows and over the columns of the N×N matrix of scaled similarities, whose
/// diagonal holds the matching pairs: `ClipLoss` of
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/loss.py>.
#[derive(Debug, Clone, Copy, Default)]
pub struct ContrastiveLoss;

impl ContrastiveLoss {
    /// # Shapes
    /// - logits_per_image: `[batch, batch]`
    /// - output: `[1]`
    pub fn of_logits(logits_per_image: Tensor<2>) -> Tensor<1> {
        let [n, _] = logits_per_image.dims();
        let mut identity = vec![0.0f32; n * n];
        identity.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
        let diagonal = Tensor::<2>::from_data(TensorData::new(identity, [n, n]), &logits_per_image.device());
        let log_probs = log_softmax(logits_per_image.clone(), 1) + log_softmax(logits_per_image, 0);
        (log_probs * diagonal).sum() * (-0.5 / n as f64)
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
        ContrastiveLoss::of_logits(logits(a, b, scale)).into_data().try_to_vec().unwrap()[0]
    }

    #[test]
    fn equal_features_cost_ln_n() {
        let same = || features([[1.0, 2.0, 3.0]; 3]);
        assert!((loss(same(), same(), 4.0) - 3f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn is_symmetric_and_falls_with_temperature_on_matching_pairs() {
        let a = || features([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let b = || features([[1.0, 0.2, 0.0], [0.3, 1.0, 0.0], [0.0, 0.1, 1.0]]);
        assert!((loss(a(), b(), 1.0) - loss(b(), a(), 1.0)).abs() < 1e-6);
        assert!(loss(a(), b(), 3.0) < loss(a(), b(), 1.0));
    }
}
