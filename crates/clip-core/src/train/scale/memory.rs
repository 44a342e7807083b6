//! Memory of a rank: its tensors at the moments that can be the peak.
//!
//! Counted are the tensors that a step keeps: weights, moments, gradients, what the backward pass needs of the forward pass (the states
//! of clip-kernels' operations and Burn's), logits, features and the buffers of exchanges. Not counted are the program itself, images
//! held in memory between steps, and what an allocator keeps.

use serde::Serialize;

use super::Workload;
use super::compute::Tower;
use crate::model::MatmulPrecision;

/// Bytes of a number.
const F32: u64 = 4;
const HALF: u64 = 2;
/// Copies of the logits of a direction that its backward pass needs: similarities, exponentials, targets.
const LOGITS_KEPT: u64 = 3;
/// Further copies while one direction is computed.
const LOGITS_AT_ONCE: u64 = 3;
/// Copies of the features of a tower: gathered, and their gradient.
const FEATURES: u64 = 2;
/// Copies of a bucket: its values on the device and on the host, the sums gathered, and back on the device.
const BUCKET_COPIES: u64 = 4;

/// When a step has its peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The loss and the gradient at the features.
    Loss,
    /// The start of a backward pass, with all activations.
    Backward,
    /// Its end, with all gradients.
    Gradients,
    /// The exchange of the largest bucket.
    Exchange,
}

/// Bytes of a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Weights, adapters among them.
    pub parameters: u64,
    /// Moments of the optimiser.
    pub optimizer: u64,
    /// Moving average of the weights.
    pub average: u64,
    /// Gradients of what is trained.
    pub gradients: u64,
    /// What a backward pass keeps, and what it makes in one block.
    pub activations: u64,
    /// Logits and what the loss makes of them.
    pub logits: u64,
    /// Features of the whole batch and their gradients.
    pub features: u64,
    /// Images of the rank's pairs in 8 bits, and the pixels of those that are encoded at once.
    pub images: u64,
    /// Copies of the largest bucket of gradients.
    pub exchange: u64,
    /// Most bytes at once.
    pub peak: u64,
    /// When that is.
    pub peak_in: Phase,
}

impl Tower {
    /// Bytes of a token that the backward pass of a block keeps: the inputs of two norms, of query, key and value, of attention, of the
    /// output, of both layers of the MLP and of its GELU. In half precision the residual stream, and what attention computes in, stay f32:
    /// as on a GPU.
    fn kept(&self, half: bool) -> u64 {
        let [width, hidden] = [self.width, self.mlp_width].map(|number| number as u64);
        match half {
            false => F32 * (8 * width + 2 * hidden),
            true => F32 * 5 * width + HALF * (3 * width + 2 * hidden),
        }
    }

    /// Bytes of a pair that a backward pass makes in one block: gradients of the MLP's hidden layer, before and after its GELU, and of the
    /// residual stream.
    fn made(&self, half: bool) -> u64 {
        let [tokens, width, hidden] = [self.tokens, self.width, self.mlp_width].map(|number| number as u64);
        tokens * (F32 * 2 * width + 2 * hidden * if half { HALF } else { F32 })
    }

    /// Bytes of a pair that a backward pass keeps. With `recomputed`, the inputs of all blocks and the activations of one.
    fn activations(&self, half: bool, recomputed: bool) -> u64 {
        let (tokens, layers) = (self.tokens as u64, self.trained_layers as u64);
        let blocks = if recomputed {
            F32 * self.width as u64 * self.layers as u64 + self.kept(half) * layers.min(1)
        } else {
            self.kept(half) * layers
        };
        tokens * blocks + F32 * self.input as u64
    }
}

impl Workload {
    /// Memory of a rank in a step after the first, which makes the moments.
    pub fn memory(&self) -> Memory {
        let options = &self.options;
        let (half, recomputed) = (options.precision != MatmulPrecision::F32, options.activation_checkpointing);
        let (own, batch, at_once) = (self.own() as u64, options.batch_size as u64, self.at_once() as u64);
        let sum = |of: &dyn Fn(&super::Parameter) -> u64| -> u64 { self.parameters.iter().map(of).sum() };
        let parameters = F32 * sum(&|parameter| parameter.count as u64);
        let trained = |parameter: &super::Parameter| if parameter.is_trained { parameter.count as u64 } else { 0 };
        let gradients = F32 * sum(&trained);
        let by_muon = |parameter: &super::Parameter| options.muon.is_some() && parameter.is_block_matrix;
        let optimizer = F32 * sum(&|parameter| trained(parameter) * if by_muon(parameter) { 1 } else { 2 });
        let average = if options.ema_decay.is_some() { gradients } else { 0 };
        let towers = self.towers();
        let of_towers = towers.iter().map(|tower| at_once * tower.activations(half, recomputed));
        // micro-batches go through one tower after the other
        let kept = if self.is_cached() { of_towers.max().unwrap_or(0) } else { of_towers.sum() };
        let made = towers.iter().map(|tower| at_once * tower.made(half)).max().unwrap_or(0);
        let activations = kept + made;
        let logits = F32 * at_once * batch * (LOGITS_KEPT * self.directions() as u64 + LOGITS_AT_ONCE);
        let features = F32 * 2 * FEATURES * batch * self.config.embed_dim as u64;
        let pixels = 3 * (self.config.vision.image_size() as u64).pow(2);
        let images = pixels * (own + F32 * at_once);
        let exchange = if self.ranks > 1 { F32 * BUCKET_COPIES * self.largest_bucket() as u64 } else { 0 };
        let always = parameters + optimizer + average + images + features;
        // the sum over micro-batches, and the gradients of one tower beside it
        let summed = if self.is_cached() { gradients } else { 0 };
        let of_images = F32 * sum(&|parameter| if parameter.of_images { trained(parameter) } else { 0 });
        let beside = if self.is_cached() && !recomputed { of_images.max(gradients - of_images) } else { 0 };
        let in_loss = if self.is_cached() { 0 } else { kept };
        let (peak, peak_in) = [
            (always + in_loss + logits, Phase::Loss),
            (always + summed + activations, Phase::Backward),
            (always + gradients + beside, Phase::Gradients),
            (always + gradients + exchange, Phase::Exchange),
        ]
        .into_iter()
        .max_by_key(|(bytes, _)| *bytes)
        .unwrap_or((always, Phase::Gradients));
        Memory {
            parameters,
            optimizer,
            average,
            gradients,
            activations,
            logits,
            features,
            images,
            exchange,
            peak,
            peak_in,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::published;
    use super::*;

    #[test]
    fn options_change_the_memory_of_a_rank() {
        let memory = |options: &str, ranks| published("ViT-B-32", options, ranks).memory();
        let whole = memory(r#"{"batchSize": 1024}"#, 1);
        let count = published("ViT-B-32", "{}", 1).parameters();
        assert_eq!((whole.parameters, whole.optimizer, whole.gradients), (4 * count, 8 * count, 4 * count));
        assert_eq!((whole.peak_in, whole.exchange), (Phase::Backward, 0));
        let micro = memory(r#"{"batchSize": 1024, "microBatchSize": 64}"#, 1);
        assert!(micro.activations * 16 < whole.activations && micro.logits * 16 == whole.logits);
        let recomputed = memory(r#"{"batchSize": 1024, "activationCheckpointing": true}"#, 1);
        assert!(recomputed.activations * 4 < whole.activations);
        let half = memory(r#"{"batchSize": 1024, "precision": "f16"}"#, 1);
        assert!(half.activations * 3 < whole.activations * 2 + whole.images);
        assert_eq!(memory(r#"{"batchSize": 1024, "precision": "bf16"}"#, 1), half);
        // ranks share activations and logits, not weights
        let shared = memory(r#"{"batchSize": 1024}"#, 4);
        assert_eq!((shared.activations * 4, shared.logits * 4), (whole.activations, whole.logits));
        assert_eq!((shared.optimizer, shared.features), (whole.optimizer, whole.features));
        // the token table is a bucket of its own
        assert_eq!(shared.exchange, 16 * 49_408 * 512);
        let muon = memory(r#"{"batchSize": 64, "muon": {"lr": 0.02}}"#, 1);
        assert!(muon.optimizer < whole.optimizer && muon.average == 0);
        let lora = memory(r#"{"batchSize": 64, "lora": {"rank": 4, "alpha": 4}, "emaDecay": 0.9}"#, 1);
        assert!(lora.optimizer * 50 < whole.optimizer && lora.average == lora.gradients);
    }
}
