//! Text tower: a Transformer pooled at the end of the caption (arXiv 2103.00020, section 2.4), or of the context (SigLIP).

use std::collections::HashMap;
use std::ops::Range;

use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use clip_kernels as kernels;

use super::init::{BlockInit, ParamInit};
use super::layer_norm::LayerNorm;
use super::transformer::{Transformer, TransformerShape};
use crate::config::{TextConfig, TextPooling};
use crate::error::{ClipError, Result};

/// Token embeddings. A table above a GPU's buffer limit is split by rows.
#[derive(Module, Debug)]
pub struct TokenEmbedding {
    /// `[rows, width]`: the first rows; all of them unless the table is split.
    pub weight: Param<Tensor<2>>,
    /// `[rows, width]` each: the other rows.
    pub rest: Vec<Param<Tensor<2>>>,
}

impl TokenEmbedding {
    fn init(config: &TextConfig, init: &mut ParamInit<'_>) -> Self {
        let (vocab, width) = (config.vocab_size, config.width);
        let rows = init.most_values().map_or(vocab, |most| (most / width).clamp(1, vocab.max(1)));
        let mut table = |from: usize| init.normal([rows.min(vocab - from), width], 0.02);
        Self { weight: table(0), rest: (rows..vocab).step_by(rows.max(1)).map(table).collect() }
    }

    /// # Shapes
    /// - ids: `[n]`, each in the vocabulary
    /// - output: `[n, width]`
    pub fn forward(&self, ids: &[i32]) -> Tensor<2> {
        let device = self.weight.val().device();
        let count = ids.len();
        let select = |table: &Param<Tensor<2>>, ids: Vec<i32>| {
            let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &device);
            kernels::to_f32(table.val().select(0, ids)) // [n, width]
        };
        let mut from = self.weight.shape().dims::<2>()[0] as i32;
        let first = ids.iter().map(|&id| if id < from { id } else { 0 }).collect();
        let mut out = select(&self.weight, first);
        for table in &self.rest {
            let rows = table.shape().dims::<2>()[0] as i32;
            let here = |id: i32| (from..from + rows).contains(&id);
            let local = ids.iter().map(|&id| if here(id) { id - from } else { 0 }).collect();
            let mask: Vec<bool> = ids.iter().map(|&id| here(id)).collect();
            let mask = Tensor::<2, Bool>::from_data(TensorData::new(mask, [count, 1]), &device);
            let [_, width] = out.dims();
            out = out.mask_where(mask.expand([count, width]), select(table, local));
            from += rows;
        }
        out
    }
}

/// Token ids of a batch, checked against a text tower and, for a causal tower, cut to the longest caption.
///
/// A causal tower is pooled at `ends`, so tokens after the last end change no result and no gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct TextBatch {
    ids: Vec<i32>,
    length: usize,
    ends: Vec<i32>,
}

impl TextBatch {
    /// Checks `ids` (`count` rows of `context_length`, row-major) and finds where each caption ends.
    ///
    /// # Errors
    /// `empty-batch`, `shape-mismatch`, `token-out-of-range`.
    pub fn new(ids: &[i32], count: usize, config: &TextConfig) -> Result<Self> {
        let context = config.context_length;
        if count == 0 {
            return Err(ClipError::EmptyBatch { what: "text".into() });
        }
        if ids.len() != count * context {
            return Err(ClipError::ShapeMismatch {
                what: "input_ids".into(),
                expected: format!("[{count}, {context}]"),
                got: format!("{} ids", ids.len()),
            });
        }
        if let Some(&id) = ids.iter().find(|&&id| usize::try_from(id).map_or(true, |id| id >= config.vocab_size)) {
            return Err(ClipError::TokenOutOfRange { expected: config.vocab_size, got: i64::from(id) });
        }
        let ends: Vec<usize> = ids.chunks_exact(context).map(|row| end_position(row, config.pooling)).collect();
        let last = if config.causal { ends.iter().copied().max().unwrap_or(0) } else { context - 1 };
        let length = last + 1;
        Ok(Self {
            ids: ids.chunks_exact(context).flat_map(|row| row[..length].iter().copied()).collect(),
            length,
            ends: ends.iter().enumerate().map(|(row, end)| (row * length + end) as i32).collect(),
        })
    }

    /// Number of captions.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tokens of each caption: those of the longest, or of the context.
    pub fn tokens(&self) -> usize {
        self.length
    }

    /// Returns a range of the captions.
    pub fn part(&self, range: Range<usize>) -> Self {
        let length = self.length;
        Self {
            ids: self.ids[range.start * length..range.end * length].to_vec(),
            length,
            ends: self.ends[range.clone()].iter().map(|end| end - (range.start * length) as i32).collect(),
        }
    }

    /// Returns for each caption the index of the first caption with the same tokens.
    pub fn first_alike(&self) -> Vec<usize> {
        let mut first = HashMap::new();
        self.ids.chunks_exact(self.length).enumerate().map(|(row, ids)| *first.entry(ids).or_insert(row)).collect()
    }

    /// Always false: an empty batch is refused.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn end_position(row: &[i32], pooling: TextPooling) -> usize {
    let first_of = |id: i32| row.iter().position(|&x| x == id).unwrap_or(0);
    match pooling {
        TextPooling::Argmax => first_of(row.iter().copied().max().unwrap_or(0)),
        TextPooling::FirstOf(id) => first_of(i32::try_from(id).unwrap_or(-1)),
        TextPooling::Last => row.len() - 1,
    }
}

/// A Transformer over tokens. The embedding is the pooled last state, projected.
#[derive(Module, Debug)]
pub struct TextTransformer {
    /// Token embeddings.
    pub token_embedding: TokenEmbedding,
    /// `[context_length, width]`
    pub positional_embedding: Param<Tensor<2>>,
    /// Blocks.
    pub transformer: Transformer,
    /// Norm after the blocks.
    pub ln_final: LayerNorm,
    /// `[width, embed_dim]`
    pub text_projection: Param<Tensor<2>>,
    /// `[embed_dim]`; SigLIP only.
    pub text_projection_bias: Option<Param<Tensor<1>>>,
}

impl TextTransformer {
    /// Fresh parameters: <https://github.com/openai/CLIP/blob/d05afc436d78/clip/model.py#L299-L326>.
    pub fn init(config: &TextConfig, embed_dim: usize, init: &mut ParamInit<'_>) -> Self {
        let TextConfig { width, layers, layer_norm_eps: eps, .. } = *config;
        let shape = TransformerShape {
            width,
            layers,
            heads: config.heads,
            mlp_width: config.mlp_width,
            activation: config.activation,
            layer_norm_eps: eps,
            causal: config.causal,
        };
        Self {
            token_embedding: TokenEmbedding::init(config, init),
            positional_embedding: init.normal([config.context_length, width], 0.01),
            transformer: Transformer::init(shape, BlockInit::Text { layers }, init),
            ln_final: LayerNorm::init(width, eps, init),
            text_projection: init.normal([width, embed_dim], (width as f64).powf(-0.5)),
            text_projection_bias: config.projection_bias.then(|| init.constant([embed_dim], 0.0)),
        }
    }

    /// Returns token embeddings plus positional embeddings.
    ///
    /// # Shapes
    /// - output: `[batch, length, width]`
    pub fn embeddings(&self, batch: &TextBatch) -> Tensor<3> {
        let (count, length) = (batch.len(), batch.length);
        let tokens = self.token_embedding.forward(&batch.ids); // [n * l, width]
        let [_, width] = tokens.dims();
        let positions = kernels::to_f32(self.positional_embedding.val()).narrow(0, 0, length);
        tokens.reshape([count, length, width]) + positions.unsqueeze::<3>() // [n, l, width]
    }

    /// Returns the last states of all positions, after `ln_final`.
    ///
    /// # Shapes
    /// - output: `[batch, length, width]`
    pub fn last_hidden_state(&self, batch: &TextBatch) -> Tensor<3> {
        self.ln_final.forward(self.transformer.forward(self.embeddings(batch)))
    }

    /// # Shapes
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn forward(&self, batch: &TextBatch) -> Tensor<2> {
        self.project(self.transformer.forward(self.embeddings(batch)), batch)
    }

    /// Computes what follows the blocks.
    ///
    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, embed_dim]`, not normalised
    pub fn project(&self, x: Tensor<3>, batch: &TextBatch) -> Tensor<2> {
        // layer norm acts on each position alone: pool first, normalise only the pooled states
        let pooled = self.ln_final.forward(Self::pool(x, batch));
        let projected = kernels::matmul(pooled, kernels::to_f32(self.text_projection.val()));
        match &self.text_projection_bias {
            Some(bias) => projected + bias.val().unsqueeze::<2>(),
            None => projected,
        }
    }

    /// Returns the pooled state of each caption.
    ///
    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, width]`
    pub fn pool(x: Tensor<3>, batch: &TextBatch) -> Tensor<2> {
        let [count, length, width] = x.dims();
        let ends = Tensor::<1, Int>::from_data(TensorData::new(batch.ends.clone(), [count]), &x.device());
        x.reshape([count * length, width]).select(0, ends) // [n, width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClipConfig;

    fn config(pooling: TextPooling) -> TextConfig {
        let json = r#"{"embedDim": 8, "vision": {"imageSize": 8, "patchSize": 8, "width": 8, "layers": 1, "heads": 1},
            "text": {"contextLength": 5, "vocabSize": 10, "width": 8, "layers": 1, "heads": 2}}"#;
        TextConfig { pooling, ..ClipConfig::from_json(json).unwrap().text }
    }

    #[test]
    fn the_first_of_several_ends_counts_and_the_rest_is_cut() {
        let batch = TextBatch::new(&[8, 1, 9, 9, 9, 8, 9, 0, 0, 0], 2, &config(TextPooling::Argmax)).unwrap();
        assert_eq!(batch, TextBatch { ids: vec![8, 1, 9, 8, 9, 0], length: 3, ends: vec![2, 4] });
        let batch = TextBatch::new(&[8, 7, 9, 7, 0], 1, &config(TextPooling::FirstOf(7))).unwrap();
        assert_eq!((batch.length, batch.ends), (2, vec![1]));
    }

    #[test]
    fn ids_outside_the_vocabulary_are_refused() {
        for bad in [10, -1] {
            let error = TextBatch::new(&[8, bad, 9, 0, 0], 1, &config(TextPooling::Argmax)).unwrap_err();
            assert_eq!(error, ClipError::TokenOutOfRange { expected: 10, got: i64::from(bad) });
        }
        assert_eq!(TextBatch::new(&[], 0, &config(TextPooling::Argmax)).unwrap_err().code(), "empty-batch");
        assert_eq!(TextBatch::new(&[1, 2], 1, &config(TextPooling::Argmax)).unwrap_err().code(), "shape-mismatch");
    }
}
