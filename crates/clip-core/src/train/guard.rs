//! Steps that could ruin the weights at once: they count only where the model that they make still has a loss.
//!
//! Where β₁² < β₂, AdamW moves a value by a few times its rate at most, by Cauchy and Schwarz: the first moment is at most
//! (1 − β₁) / √((1 − β₂)(1 − β₁²/β₂)) times the root of the second. Muon's moves are as bounded, and finite gradients have finite
//! moments. So a step at an ordinary rate leaves finite weights finite, and nothing has to be looked at.

use burn::tensor::Tensor;

use super::batch::Batch;
use super::gradients::{LossOptions, loss, norm};
use super::optimizer::OptimizerOptions;
use super::tuning::Tuning;
use super::values::learning;
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::Clip;

/// Moves of a value, in a step, that leave nothing of what most weights were.
const LONG: f64 = 0.1;
/// Below it the square of a gradient may be no more than 0 where the gradient over ε is large.
const SMALL: f64 = 1e-16;

/// Whether a step at rate `lr` could ruin the weights.
pub(super) fn is_daring(lr: f64, options: &OptimizerOptions, tuning: Tuning) -> bool {
    let adamw = options.adamw;
    let (muon, muon_decay) =
        options.muon.map_or((0.0, 0.0), |(muon, ratio)| (lr * ratio, lr * ratio * muon.weight_decay));
    // what an adapter learns is multiplied by that
    let scale = match tuning {
        Tuning::Lora { rank, alpha } => (f64::from(alpha) / rank as f64).max(1.0),
        _ => 1.0,
    };
    lr.max(muon) * scale > LONG
        || (lr * adamw.weight_decay).max(muon_decay) > 1.0
        || adamw.epsilon < SMALL
        || adamw.beta_1 * adamw.beta_1 >= adamw.beta_2
}

/// Refuses a model that a step has made, where its weights or its loss of the step's own batch are not finite.
///
/// # Errors
/// `loss-not-finite`; those of [`loss`].
pub(super) async fn check(model: &Clip, batch: &impl Batch, options: &LossOptions, step: usize) -> Result<()> {
    let loss = loss(model, batch, options, step)?;
    let weights = norm(model, &learning(model)).unwrap_or_else(|| loss.zeros_like());
    let values = read(Tensor::cat(vec![weights, loss], 0)).await?;
    match values.into_iter().zip(["finite weights", "a finite loss"]).find(|(value, _)| !value.is_finite()) {
        Some((got, what)) => Err(ClipError::LossNotFinite { what, step: step + 1, got }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::trainer::{StepOptions, Trainer};
    use super::super::{AdamWOptions, MuonOptions};
    use super::*;
    use crate::checkpoint::{Layout, save};
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu as now, cpu};
    use crate::model::TextBatch;

    const ALL: Tuning = Tuning::All;

    fn adamw(change: impl FnOnce(&mut AdamWOptions)) -> OptimizerOptions {
        let mut options = OptimizerOptions::default();
        change(&mut options.adamw);
        options
    }

    fn muon(lr: f64, base: f64, weight_decay: f64) -> OptimizerOptions {
        let muon = MuonOptions { lr, momentum: 0.95, weight_decay };
        OptimizerOptions { muon: Some((muon, lr / base)), ..OptimizerOptions::default() }
    }

    fn config() -> ClipConfig {
        ClipConfig::from_json(
            r#"{"embedDim":8,"vision":{"imageSize":8,"patchSize":4,"width":16,"layers":2,"heads":2},
                "text":{"contextLength":6,"width":16,"layers":2,"heads":2,"vocabSize":20}}"#,
        )
        .unwrap()
    }

    fn batch() -> (Tensor<4>, TextBatch) {
        let pixels: Vec<f32> = (0..4 * 3 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
        let ids: Vec<i32> = (0..24).map(|i| if i % 6 == 5 { 19 } else { i % 17 }).collect();
        let pixels = Tensor::from_data(TensorData::new(pixels, [4, 3, 8, 8]), &cpu());
        (pixels, TextBatch::new(&ids, 4, &config().text).unwrap())
    }

    /// All that a trainer goes on from.
    fn state(trainer: &Trainer) -> (Vec<u8>, Vec<u8>, usize) {
        let model = now(save(&trainer.inference_model(), &config(), Layout::Hf, Default::default())).unwrap();
        (model, now(trainer.values().into_bytes()).unwrap(), trainer.step())
    }

    #[test]
    fn a_step_that_ruins_the_weights_is_refused_and_leaves_no_trace() {
        let lora = |alpha| Tuning::Lora { rank: 2, alpha };
        let cases = [
            ("rate", 1e30, OptimizerOptions::default(), ALL),
            ("largest rate", 3e38, OptimizerOptions::default(), ALL),
            ("decay", 1e-3, adamw(|adamw| adamw.weight_decay = 1e38), ALL),
            ("decay beyond single precision", 1e3, adamw(|adamw| adamw.weight_decay = 1e38), ALL),
            ("epsilon", 1e12, adamw(|adamw| adamw.epsilon = 1.2e-38), ALL),
            ("betas", 1e25, adamw(|adamw| (adamw.beta_1, adamw.beta_2) = (0.999, 0.0)), ALL),
            ("Muon", 1e-3, muon(1e30, 1e-3, 0.1), ALL),
            ("Muon's decay", 1e-3, muon(1e-2, 1e-3, 1e38), ALL),
            ("adapters", 1e-3, OptimizerOptions::default(), lora(1e38)),
            ("last blocks", 1e30, OptimizerOptions::default(), Tuning::LastBlocks(1)),
        ];
        let losses = [
            LossOptions::default(),
            LossOptions { micro_batch_size: Some(3), ..LossOptions::default() },
            LossOptions { activation_checkpointing: true, patch_dropout: 0.5, ..LossOptions::default() },
        ];
        for (name, lr, options, tuning) in cases {
            for (half, loss) in [false, true].into_iter().flat_map(|half| losses.map(|loss| (half, loss))) {
                let mut trainer = Trainer::new(config().init(1, &cpu().autodiff()));
                trainer.set_half(half);
                trainer.set_options(options, tuning, Some(0.9), 1).unwrap();
                let step = |trainer: &mut Trainer, lr| {
                    now(trainer.train_step(&batch(), lr, &StepOptions { loss, clip_norm: None }))
                };
                // moments that are not empty; at a rate so small nothing is ruined yet, unless it is by decay or adapters
                let begun = step(&mut trainer, 1e-30);
                let before = state(&trainer);
                let error = step(&mut trainer, lr).unwrap_err();
                assert_eq!(error.code(), "loss-not-finite", "{name}");
                let number = if begun.is_ok() { "step 2" } else { "step 1" };
                assert!(error.to_string().contains(number), "{name}: {error}");
                assert!(state(&trainer) == before, "{name}, half: {half}, {loss:?}");
            }
        }
    }

    #[test]
    fn what_is_daring_and_goes_well_is_a_step_like_any_other() {
        for lr in [1e-3, 0.05, 0.5, 3.0] {
            let mut trainer = Trainer::new(config().init(1, &cpu().autodiff()));
            for step in 0..5 {
                let report = now(trainer.train_step(&batch(), lr, &StepOptions::default())).unwrap();
                assert!(report.loss.is_finite() && report.step == step);
            }
        }
    }

    #[test]
    fn ordinary_settings_are_not_daring() {
        let default = OptimizerOptions::default();
        assert!(!is_daring(1e-3, &default, ALL));
        assert!(!is_daring(1e-4, &default, Tuning::Lora { rank: 8, alpha: 16.0 }));
        assert!(!is_daring(1e-3, &muon(0.02, 1e-3, 0.1), ALL));
        assert!(!is_daring(1e-3, &adamw(|adamw| adamw.epsilon = 1e-15), ALL));
        assert!(is_daring(0.2, &default, ALL));
        assert!(is_daring(1e-3, &default, Tuning::Lora { rank: 1, alpha: 1e6 }));
        assert!(is_daring(1e-3, &muon(2.0, 1e-3, 0.1), ALL));
        assert!(is_daring(1e-3, &adamw(|adamw| adamw.epsilon = 1e-30), ALL));
        assert!(is_daring(1e-3, &adamw(|adamw| adamw.weight_decay = 2e3), ALL));
    }
}
