//! What ranks exchange in a step: the calls of `gradients` and `ranks`, in their order.

use super::Workload;
use crate::model::Towers;
use crate::train::exchange::Exchange;
use crate::train::ranks::buckets;

/// Figures of a step that all ranks take from the first: loss, temperature, norm, two means.
const FIGURES: usize = 5;

/// Exchanges of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// Features of both towers are gathered.
    pub features: Vec<Exchange>,
    /// Gradients at the features are summed, each rank gets its rows; none of a locked tower.
    pub feature_gradients: Vec<Exchange>,
    /// Gradients of the weights are summed, a bucket by two exchanges.
    pub gradients: Vec<Exchange>,
    /// The loss is summed, and figures are agreed on.
    pub figures: Vec<Exchange>,
}

impl Exchanges {
    /// All of them.
    pub fn all(&self) -> Vec<Exchange> {
        [&self.features, &self.feature_gradients, &self.gradients, &self.figures]
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }
}

impl Workload {
    /// Exchanges of a step whose gradients do not overflow half precision, and whose rate is an ordinary one; after others the loss is
    /// computed again. None on a rank that is alone.
    pub fn exchanges(&self) -> Exchanges {
        if self.ranks == 1 {
            return Exchanges::default();
        }
        let dim = self.config.embed_dim;
        let trained = [Towers::Image, Towers::Text].into_iter().filter(|tower| self.options.lock != Some(*tower));
        let mut figures = Exchange::sum(1, self.ranks).to_vec();
        figures.push(Exchange::all_gather(FIGURES));
        Exchanges {
            features: vec![Exchange::all_gather(self.own() * dim); 2],
            feature_gradients: trained.map(|_| Exchange::reduce_scatter(self.options.batch_size * dim)).collect(),
            gradients: buckets(&self.gradients())
                .flat_map(|bucket| Exchange::sum(bucket.iter().sum(), self.ranks))
                .collect(),
            figures,
        }
    }

    /// Numbers of the largest bucket.
    pub(super) fn largest_bucket(&self) -> usize {
        buckets(&self.gradients()).map(|bucket| bucket.iter().sum()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::config::ClipConfig;
    use crate::device::{block_on_cpu as now, cpu};
    use crate::error::Result;
    use crate::model::TextBatch;
    use crate::train::exchange::Traffic;
    use crate::train::options::RunOptions;
    use crate::train::ranks::testing::on_ranks;
    use crate::train::{Batch, LossOptions, StepOptions, Trainer};

    const CONFIG: &str = r#"{"embedDim": 8,
        "vision": {"imageSize": 16, "patchSize": 4, "width": 16, "layers": 2, "heads": 2},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 16, "layers": 2, "heads": 2}}"#;

    /// Eight pairs, whose features of a locked tower are known.
    struct Pairs {
        images: Tensor<4>,
        texts: TextBatch,
        lock: Option<Towers>,
    }

    impl Batch for Pairs {
        fn images(&self) -> usize {
            8
        }

        fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>> {
            Ok(self.images.clone().slice_dim(0, range).to_device(device))
        }

        fn texts(&self) -> Result<TextBatch> {
            Ok(self.texts.clone())
        }

        fn is_locked(&self, tower: Towers) -> bool {
            self.lock == Some(tower)
        }

        fn locked(&self, tower: Towers, range: Range<usize>, device: &Device) -> Option<Tensor<2>> {
            self.is_locked(tower).then(|| Tensor::ones([range.len(), 8], device) * 8f64.powf(-0.5))
        }
    }

    /// What each rank of a step exchanges.
    fn step(config: &ClipConfig, options: &RunOptions, ranks: usize) -> Vec<Traffic> {
        on_ranks(ranks, |ranks| {
            let pixels: Vec<f32> = (0..8 * 3 * 256).map(|i| (i as f32 * 0.7).sin()).collect();
            let ids: Vec<i32> = (0..48).map(|i| if i % 6 == 5 { 19 } else { i % 17 }).collect();
            let batch = Pairs {
                images: Tensor::from_data(TensorData::new(pixels, [8, 3, 16, 16]), &cpu()),
                texts: TextBatch::new(&ids, 8, &config.text).unwrap(),
                lock: options.lock,
            };
            let mut trainer = Trainer::new(config.init(1, &cpu().autodiff()));
            trainer.set_ranks(ranks);
            trainer.set_options(options.optimizer(), options.tuning, options.ema_decay, 1).unwrap();
            let loss = LossOptions {
                micro_batch_size: options.micro_batch_size,
                activation_checkpointing: options.activation_checkpointing,
                ..LossOptions::default()
            };
            now(trainer.train_step(&batch, 1e-3, &StepOptions { loss, clip_norm: None })).unwrap();
            trainer.ranks().traffic()
        })
    }

    #[test]
    fn a_step_exchanges_what_is_foretold() {
        let sigmoid = CONFIG.replacen('{', r#"{"objective": "sigmoid", "#, 1);
        for (config, options) in [
            (CONFIG, r#"{"batchSize": 8}"#),
            (CONFIG, r#"{"batchSize": 8, "microBatchSize": 1, "activationCheckpointing": true, "emaDecay": 0.9}"#),
            (CONFIG, r#"{"batchSize": 8, "lock": "image"}"#),
            (CONFIG, r#"{"batchSize": 8, "lock": "text", "muon": {"lr": 0.02}}"#),
            (CONFIG, r#"{"batchSize": 8, "lastBlocks": 1}"#),
            (CONFIG, r#"{"batchSize": 8, "lora": {"rank": 3, "alpha": 3}}"#),
            (CONFIG, r#"{"batchSize": 8, "lora": {"rank": 3, "alpha": 3}, "lock": "image"}"#),
            (&sigmoid, r#"{"batchSize": 8}"#),
        ] {
            let (config, parsed) = (ClipConfig::from_json(config).unwrap(), RunOptions::from_json(options).unwrap());
            for ranks in [1, 2, 4] {
                let exchanges = Workload::new(&config, &parsed, ranks, None).unwrap().exchanges().all();
                let expected = Traffic::of(&exchanges, ranks);
                assert_eq!(expected.exchanges > 0, ranks > 1);
                for got in step(&config, &parsed, ranks) {
                    assert_eq!(got, expected, "{options}, {ranks} ranks");
                }
            }
        }
    }

    #[test]
    fn a_large_model_is_summed_in_buckets() {
        let workload = super::super::tests::published("ViT-L-14", r#"{"batchSize": 32768}"#, 256);
        let Exchanges { features, feature_gradients, gradients, .. } = workload.exchanges();
        let bytes = |exchanges: &[Exchange]| Traffic::of(exchanges, 256).sent_bytes;
        // 2 (p - 1) / p of the weights, and padding
        let ring = 2.0 * 255.0 / 256.0 * 4.0 * workload.parameters() as f64;
        assert!((bytes(&gradients) as f64 / ring - 1.0).abs() < 1e-4);
        assert_eq!(bytes(&features), 2 * 255 * 128 * 768 * 4);
        assert_eq!(bytes(&feature_gradients), bytes(&features));
        // 1.7 GB in buckets of 25 MB, most of them not quite full
        assert!((2 * 65..2 * 110).contains(&gradients.len()), "{}", gradients.len());
    }
}
