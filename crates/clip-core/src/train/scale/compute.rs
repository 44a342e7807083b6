//! Floating-point operations of a step: those of its matrix products, a multiplication and an addition each.

use super::Workload;
use crate::config::{TextConfig, VisionConfig};
use crate::train::options::Tuning;

/// Operations of attention's backward pass over those of its forward pass: the scores are computed again, then four products for two
/// (FlashAttention, arXiv 2205.14135, section 3.1).
const ATTENTION_BACKWARD: f64 = 2.5;

/// A Transformer and what is around it, for one pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tower {
    /// Tokens of its blocks.
    pub(super) tokens: usize,
    pub(super) width: usize,
    pub(super) mlp_width: usize,
    pub(super) layers: usize,
    /// Blocks that the backward pass goes through.
    pub(super) trained_layers: usize,
    /// Numbers of its input that the backward pass needs: pixels, as patches.
    pub(super) input: usize,
    /// Operations before and after the blocks.
    around: f64,
}

impl Tower {
    pub(super) fn of_images(workload: &Workload) -> Self {
        let Workload { config, options, .. } = workload;
        let (VisionConfig::Vit(vit) | VisionConfig::Siglip(vit)) = &config.vision else {
            // refused before
            return Self { tokens: 0, width: 0, mlp_width: 0, layers: 0, trained_layers: 0, input: 0, around: 0.0 };
        };
        let has_class_token = matches!(config.vision, VisionConfig::Vit(_));
        let patches = (vit.image_size / vit.patch_size).pow(2);
        let kept = if options.patch_dropout > 0.0 {
            ((patches as f64 * (1.0 - options.patch_dropout)) as usize).max(1)
        } else {
            patches
        };
        let tokens = kept + usize::from(has_class_token);
        let input = 3 * patches * vit.patch_size.pow(2);
        let [width, length, hidden] = [vit.width, tokens, vit.mlp_width].map(|number| number as f64);
        let embedding = 2.0 * input as f64 * width;
        let head = match has_class_token {
            true => 2.0 * width * config.embed_dim as f64,
            // keys and values of all tokens; query, output and MLP of one
            false => 4.0 * length * width * width + 4.0 * length * width + 4.0 * width * (width + hidden),
        };
        Self {
            tokens,
            width: vit.width,
            mlp_width: vit.mlp_width,
            layers: vit.layers,
            trained_layers: trained_layers(options.tuning, vit.layers),
            input,
            around: embedding + head,
        }
    }

    pub(super) fn of_texts(workload: &Workload) -> Self {
        let TextConfig { context_length, width, mlp_width, layers, causal, .. } = workload.config.text;
        Self {
            tokens: if causal { workload.caption_tokens } else { context_length },
            width,
            mlp_width,
            layers,
            trained_layers: trained_layers(workload.options.tuning, layers),
            input: 0,
            around: 2.0 * (width * workload.config.embed_dim) as f64,
        }
    }

    /// Operations of the linear layers of a block, and of its attention, without regard to a causal mask.
    fn block(&self) -> [f64; 2] {
        let [width, length, hidden] = [self.width, self.tokens, self.mlp_width].map(|number| number as f64);
        [2.0 * length * width * (4.0 * width + 2.0 * hidden), 4.0 * length * length * width]
    }

    fn forward(&self) -> f64 {
        let [linear, attention] = self.block();
        self.around + self.layers as f64 * (linear + attention)
    }

    fn backward(&self) -> f64 {
        let [linear, attention] = self.block();
        2.0 * self.around + self.trained_layers as f64 * (2.0 * linear + ATTENTION_BACKWARD * attention)
    }
}

/// Adapters change each block's weights: the gradient goes through all of them.
fn trained_layers(tuning: Tuning, layers: usize) -> usize {
    match tuning {
        Tuning::All | Tuning::Lora { .. } => layers,
        Tuning::LastBlocks(count) => count.min(layers),
    }
}

impl Workload {
    /// Operations of the forward pass of one pair through the towers that are computed.
    pub fn forward_flops(&self) -> f64 {
        self.towers().iter().map(Tower::forward).sum()
    }

    /// Operations of a step of one rank. A norm, a GELU or an update of the weights has none here: its time follows that of the products,
    /// or is the same in each step.
    pub fn step_flops(&self) -> f64 {
        let passes = match (self.is_cached(), self.options.activation_checkpointing) {
            (false, _) => 1.0,
            // without a graph first
            (true, false) => 2.0,
            // then through the blocks for their inputs
            (true, true) => 3.0,
        };
        let towers: f64 = self.towers().iter().map(|tower| passes * tower.forward() + tower.backward()).sum();
        let [own, batch, dim] =
            [self.own(), self.options.batch_size, self.config.embed_dim].map(|number| number as f64);
        // logits of the own rows, forward and backward
        let logits = 3.0 * 2.0 * own * batch * dim * self.directions() as f64;
        own * towers + logits
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::published;

    #[test]
    fn published_models_have_their_numbers_of_operations() {
        // open_clip/docs/model_profile.csv
        for (model, billions) in [("ViT-B-32", 14.78), ("ViT-B-16", 41.09), ("ViT-L-14", 175.33)] {
            let got = published(model, "{}", 1).forward_flops() / 1e9;
            assert!((got / billions - 1.0).abs() < 0.005, "{model}: {got}");
        }
    }

    #[test]
    fn options_change_the_operations_of_a_step() {
        let flops = |options: &str, ranks| published("ViT-B-32", options, ranks).step_flops();
        let whole = flops(r#"{"batchSize": 64}"#, 1);
        let pair = published("ViT-B-32", "{}", 1).forward_flops();
        // the backward pass takes twice the forward pass, and a little more in attention
        assert!((3.0..3.1).contains(&(whole / 64.0 / pair)), "{}", whole / 64.0 / pair);
        let near = |options: &str, passes: f64| {
            let more = (flops(options, 1) - whole) / 64.0 / pair;
            assert!((more - passes).abs() < 1e-9, "{options}: {more}");
        };
        near(r#"{"batchSize": 64, "microBatchSize": 8}"#, 1.0);
        near(r#"{"batchSize": 64, "activationCheckpointing": true}"#, 2.0);
        assert!(flops(r#"{"batchSize": 64, "lock": "image"}"#, 1) < 0.5 * whole);
        assert!(flops(r#"{"batchSize": 64, "lastBlocks": 2}"#, 1) < 0.6 * whole);
        assert!(flops(r#"{"batchSize": 64, "patchDropout": 0.5}"#, 1) < 0.8 * whole);
        // two ranks share the pairs, and each has half of the logits
        assert!((flops(r#"{"batchSize": 64}"#, 2) / whole - 0.5).abs() < 1e-9);
    }
}
