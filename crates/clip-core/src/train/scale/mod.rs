//! Model of scale: what a step takes on any number of ranks, before it is run.
//!
//! Parameters, exchanges and their bytes are exact: they are counted as the step makes them (`gradients`, `ranks`), and tests compare
//! them with a step. FLOPs and memory are estimates from the shapes of the tensors that a step computes and keeps; time is a model:
//! the computation is translated from measured steps by FLOPs, the exchanges cost latency and bandwidth. Computation and exchanges do not
//! overlap, as in the step itself.

mod compute;
mod memory;
mod parameters;
mod time;
mod traffic;

use self::compute::Tower;
use self::parameters::Parameter;
use super::options::RunOptions;
use super::ranks::check_shares;
use crate::config::{ClipConfig, Objective, TextConfig, invalid};
use crate::error::{ClipError, Result};
use crate::model::Towers;

pub use memory::{Memory, Phase};
pub use time::{Link, Speed};
pub use traffic::Exchanges;

/// The step of a run, on some ranks.
#[derive(Debug, Clone)]
pub struct Workload {
    config: ClipConfig,
    options: RunOptions,
    ranks: usize,
    caption_tokens: usize,
    parameters: Vec<Parameter>,
}

impl Workload {
    /// Describes a step. `caption_tokens` is the length of the longest caption of a batch, to which a causal text tower cuts all of
    /// them; by default the context length.
    ///
    /// # Errors
    /// `invalid-option` for ranks that cannot share the batch, or more tokens than the context; `batch-too-small`; `invalid-config`
    /// for a tower that cannot be trained, or without `text.vocabSize`.
    pub fn new(config: &ClipConfig, options: &RunOptions, ranks: usize, caption_tokens: Option<usize>) -> Result<Self> {
        config.check_trainable()?;
        options.validate()?;
        let TextConfig { context_length, vocab_size, .. } = config.text;
        if vocab_size == 0 {
            return Err(invalid("text.vocabSize", "the size of the vocabulary, which decides the memory", "none"));
        }
        let caption_tokens = caption_tokens.unwrap_or(context_length);
        if !(1..=context_length).contains(&caption_tokens) {
            let expected = format!("a whole number from 1 to the context length of {context_length}");
            return Err(ClipError::invalid_option("captionTokens", &expected, caption_tokens));
        }
        if ranks == 0 {
            return Err(ClipError::invalid_option("ranks", "a whole number above 0", ranks));
        }
        check_shares(options.batch_size, ranks)?;
        if options.batch_size < 2 {
            return Err(ClipError::BatchTooSmall { got: options.batch_size });
        }
        let parameters = parameters::of(config, options);
        Ok(Self { config: config.clone(), options: *options, ranks, caption_tokens, parameters })
    }

    /// The same share of pairs on a rank that is alone.
    #[must_use]
    pub fn alone(&self) -> Self {
        let options = RunOptions { batch_size: self.own(), ..self.options };
        Self { ranks: 1, options, ..self.clone() }
    }

    /// The same in micro-batches of so many pairs.
    #[must_use]
    pub fn with_micro_batch(&self, pairs: usize) -> Self {
        let options = RunOptions { micro_batch_size: Some(pairs), ..self.options };
        Self { options, ..self.clone() }
    }

    /// The model.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Options of the run.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Number of ranks.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Tokens of the longest caption of a batch.
    pub fn caption_tokens(&self) -> usize {
        self.caption_tokens
    }

    /// Pairs of a rank.
    pub fn own(&self) -> usize {
        self.options.batch_size / self.ranks
    }

    /// Pairs whose activations are in memory at once.
    pub fn at_once(&self) -> usize {
        self.options.micro_batch_size.map_or(self.own(), |micro| micro.min(self.own()))
    }

    /// Whether features are computed first without a graph, and again for the backward pass.
    fn is_cached(&self) -> bool {
        self.options.activation_checkpointing || self.at_once() < self.own()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.parameters.iter().filter(|parameter| !parameter.is_adapter).map(|parameter| parameter.count as u64).sum()
    }

    /// Number of values that are trained, adapters among them.
    pub fn trained(&self) -> u64 {
        self.gradients().iter().map(|&count| count as u64).sum()
    }

    /// Values of each gradient, in the order in which they are summed.
    fn gradients(&self) -> Vec<usize> {
        self.parameters.iter().filter(|parameter| parameter.is_trained).map(|parameter| parameter.count).collect()
    }

    /// Matrices of logits: the contrastive loss has one of images with texts, and one of texts with images.
    fn directions(&self) -> usize {
        match self.config.objective {
            Objective::Softmax => 2,
            Objective::Sigmoid => 1,
        }
    }

    /// The towers that compute in each step: a locked one's features are cached.
    fn towers(&self) -> Vec<Tower> {
        let towers = [(Towers::Image, Tower::of_images(self)), (Towers::Text, Tower::of_texts(self))];
        towers.into_iter().filter(|(which, _)| self.options.lock != Some(*which)).map(|(_, tower)| tower).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workload of a published model.
    pub(super) fn published(model: &str, options: &str, ranks: usize) -> Workload {
        let options = RunOptions::from_json(options).unwrap();
        Workload::new(&ClipConfig::preset(model).unwrap(), &options, ranks, None).unwrap()
    }

    #[test]
    fn pairs_are_shared_out() {
        let workload = published("ViT-L-14", r#"{"batchSize": 32768, "microBatchSize": 64}"#, 256);
        assert_eq!((workload.own(), workload.at_once(), workload.is_cached()), (128, 64, true));
        let alone = workload.alone();
        assert_eq!((alone.own(), alone.at_once(), alone.ranks()), (128, 64, 1));
        // as PyTorch's gather: more than the share is the share
        let whole = published("ViT-B-32", r#"{"batchSize": 64, "microBatchSize": 64}"#, 2);
        assert_eq!((whole.at_once(), whole.is_cached()), (32, false));
    }

    #[test]
    fn what_cannot_be_a_step_is_refused() {
        let config = ClipConfig::preset("ViT-B-32").unwrap();
        let refused = |config: &ClipConfig, batch: usize, ranks: usize, tokens: Option<usize>| {
            let options = RunOptions { batch_size: batch, ..RunOptions::default() };
            Workload::new(config, &options, ranks, tokens).unwrap_err()
        };
        assert_eq!(refused(&config, 64, 0, None).code(), "invalid-option");
        assert!(refused(&config, 64, 3, None).to_string().contains("a multiple of the 3 ranks"));
        assert!(refused(&config, 64, 1, Some(78)).to_string().contains("context length of 77"));
        assert_eq!(refused(&config, 1, 1, None).code(), "batch-too-small");
        let cut = ClipConfig { text: TextConfig { vocab_size: 0, ..config.text.clone() }, ..config };
        assert!(refused(&cut, 64, 1, None).to_string().contains("text.vocabSize"));
    }
}
