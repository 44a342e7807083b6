//! Checks the model after a step that could make its weights infinite or NaN; other steps are not checked, which would cost a
//! forward pass each.
//!
//! If β₁² < β₂, AdamW moves a value by a few times the rate at most: by Cauchy and Schwarz the first moment is at most
//! (1 − β₁) / √((1 − β₂)(1 − β₁²/β₂)) times the root of the second. Muon's updates are bounded as well, and finite gradients have
//! finite moments. A step at an ordinary rate therefore leaves finite weights finite.

use burn::tensor::Tensor;

use super::batch::Batch;
use super::gradients::{LossOptions, loss, norm};
use super::options::{OptimizerOptions, Tuning};
use super::ranks::Ranks;
use super::values::trainable;
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::Clip;

/// Change of a value in one step from which on the step is checked: most weights are smaller.
const LARGE_STEP: f64 = 0.1;
/// ε from which on the update is bounded: below, a squared gradient may underflow to 0 while the gradient over ε is large.
const LEAST_EPSILON: f64 = 1e-16;

/// Returns whether a step at rate `lr` could make weights infinite or NaN.
pub(super) fn is_risky(lr: f64, options: &OptimizerOptions, tuning: Tuning) -> bool {
    let adamw = options.adamw;
    let (muon, muon_decay) =
        options.muon.map_or((0.0, 0.0), |(muon, ratio)| (lr * ratio, lr * ratio * muon.weight_decay));
    // an adapter's change of the weights is multiplied by it
    let scale = match tuning {
        Tuning::Lora { rank, alpha } => (f64::from(alpha) / rank as f64).max(1.0),
        _ => 1.0,
    };
    lr.max(muon) * scale > LARGE_STEP
        || (lr * adamw.weight_decay).max(muon_decay) > 1.0
        || adamw.epsilon < LEAST_EPSILON
        || adamw.beta_1 * adamw.beta_1 >= adamw.beta_2
}

/// Refuses a model whose weights, or whose loss on the batch of the step that made it, are not finite.
///
/// # Errors
/// `loss-not-finite`; those of [`loss`].
pub(super) async fn check(
    model: &Clip,
    batch: &impl Batch,
    options: &LossOptions,
    step: usize,
    ranks: &Ranks,
) -> Result<()> {
    let loss = loss(model, batch, options, step, ranks).await?;
    let weights = norm(model, &trainable(model)).unwrap_or_else(|| loss.zeros_like());
    let values = ranks.first(read(Tensor::cat(vec![weights, loss], 0)).await?);
    match values.into_iter().zip(["finite weights", "a finite loss"]).find(|(value, _)| !value.is_finite()) {
        Some((got, what)) => Err(ClipError::LossNotFinite { what, step: step + 1, got }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::optimizer::testing::{adamw, muon};
    use super::*;

    const ALL: Tuning = Tuning::All;

    #[test]
    fn only_extreme_settings_are_risky() {
        let default = OptimizerOptions::default();
        assert!(!is_risky(1e-3, &default, ALL));
        assert!(!is_risky(1e-4, &default, Tuning::Lora { rank: 8, alpha: 16.0 }));
        assert!(!is_risky(1e-3, &muon(0.02, 1e-3, 0.1), ALL));
        assert!(!is_risky(1e-3, &adamw(|adamw| adamw.epsilon = 1e-15), ALL));
        assert!(is_risky(0.2, &default, ALL));
        assert!(is_risky(1e-3, &default, Tuning::Lora { rank: 1, alpha: 1e6 }));
        assert!(is_risky(1e-3, &muon(2.0, 1e-3, 0.1), ALL));
        assert!(is_risky(1e-3, &adamw(|adamw| adamw.epsilon = 1e-30), ALL));
        assert!(is_risky(1e-3, &adamw(|adamw| adamw.weight_decay = 2e3), ALL));
    }
}
