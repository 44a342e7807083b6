//! Pairs held as the towers take them: 8-bit squares and token ids.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{ClipConfig, TextConfig};
use crate::digest::Sha256;
use crate::error::{ClipError, Result};
use crate::model::TextBatch;
use crate::preprocess::{Preprocess, RgbImage};
use crate::tokenizer::Tokenizer;

/// Pairs in memory, `3 * size² + 4 * context_length` bytes each.
pub struct PairDataset {
    preprocess: Preprocess,
    text: TextConfig,
    squares: Vec<u8>,
    /// Of all squares so far: summing them at once would take seconds.
    squares_sum: Sha256,
    ids: Vec<i32>,
    count: usize,
}

impl PairDataset {
    /// An empty data set for a model.
    pub fn new(config: &ClipConfig, preprocess: Preprocess) -> Self {
        let text = config.text.clone();
        Self { preprocess, text, squares: Vec::new(), squares_sum: Sha256::default(), ids: Vec::new(), count: 0 }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a pair, or nothing where it is refused.
    ///
    /// # Errors
    /// `image-too-small`, `caption-too-long` (unless `truncate`).
    pub fn push(&mut self, image: &RgbImage, caption: &str, tokenizer: &Tokenizer, truncate: bool) -> Result<()> {
        Preprocess::check(image)?;
        let ids = tokenizer.tokenize([caption], self.text.context_length, truncate)?;
        let square = self.preprocess.square(image);
        self.squares_sum.update(&square);
        self.squares.extend(square);
        self.ids.extend(ids);
        self.count += 1;
        Ok(())
    }

    /// Token ids of all captions, row-major.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// SHA-256 of all pairs as the towers take them, in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut sum = self.squares_sum.clone();
        self.ids.iter().for_each(|id| sum.update(&id.to_le_bytes()));
        sum.finish()
    }

    /// Moves the captions into another vocabulary: `renumbered` holds the new id of each old one.
    pub fn renumber(&mut self, renumbered: &[i32], vocab_size: usize) {
        self.ids.iter_mut().for_each(|id| *id = renumbered[*id as usize]);
        self.text.vocab_size = vocab_size;
    }

    /// Images of the pairs at `indices`.
    ///
    /// # Shapes
    /// - output: `[indices, 3, size, size]`
    ///
    /// # Errors
    /// `empty-batch`.
    pub fn images(&self, indices: &[usize], device: &Device) -> Result<Tensor<4>> {
        if indices.is_empty() {
            return Err(ClipError::EmptyBatch { what: "image".into() });
        }
        let size = self.preprocess.size;
        let square = 3 * size * size;
        let levels: Vec<u8> =
            indices.iter().flat_map(|&i| &self.squares[i * square..(i + 1) * square]).copied().collect();
        let pixels = self.preprocess.normalize(&levels);
        Ok(Tensor::from_data(TensorData::new(pixels, [indices.len(), 3, size, size]), device))
    }

    /// Captions of the pairs at `indices`.
    ///
    /// # Errors
    /// `empty-batch`, `token-out-of-range`.
    pub fn texts(&self, indices: &[usize]) -> Result<TextBatch> {
        let context = self.text.context_length;
        let ids: Vec<i32> = indices.iter().flat_map(|&i| &self.ids[i * context..(i + 1) * context]).copied().collect();
        TextBatch::new(&ids, indices.len(), &self.text)
    }
}

/// The batches of one epoch: `0..count` shuffled by `seed` and `epoch`, cut into `batch_size`; a last batch that is
/// not full is dropped, as every negative counts, unless it is the only one.
pub fn batches(count: usize, batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    // each epoch its own stream of the same seed
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + epoch as u64);
    order.shuffle(&mut rng);
    if count < batch_size {
        return if count == 0 { Vec::new() } else { vec![order] };
    }
    order.chunks_exact(batch_size).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_each_pair_at_most_once_in_an_order_of_its_own() {
        let epoch = |seed, epoch| batches(10, 4, seed, epoch);
        let mut seen: Vec<usize> = epoch(1, 0).concat();
        assert_eq!((epoch(1, 0).len(), seen.len()), (2, 8));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8);
        assert_eq!(epoch(1, 0), epoch(1, 0));
        assert_ne!(epoch(1, 0), epoch(1, 1));
        assert_ne!(epoch(1, 0), epoch(2, 0));
        assert_eq!(batches(3, 4, 0, 0)[0].len(), 3);
        assert!(batches(0, 4, 0, 0).is_empty());
    }
}
