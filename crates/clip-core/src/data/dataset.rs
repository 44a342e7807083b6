//! Pairs held as the towers take them: 8-bit squares and token ids. An image may have several captions.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{ClipConfig, TextConfig};
use crate::digest::Sha256;
use crate::error::{ClipError, Result};
use crate::model::TextBatch;
use crate::preprocess::{Augmenter, Preprocess, RgbImage};
use crate::tokenizer::Tokenizer;

/// Pairs in memory, `4 * context_length + 8` bytes a caption and, where images are the same in each epoch, `3 * size²` an image.
pub struct PairDataset {
    preprocess: Preprocess,
    text: TextConfig,
    /// Those of the images, one each: as one vector they would be copied whenever it grows, and leave room that is not used.
    squares: Vec<Vec<u8>>,
    /// What makes the images anew for each epoch: whoever holds them, which is not this.
    augmenter: Option<Augmenter>,
    /// Of all squares so far: summing them at once would take seconds.
    squares_sum: Sha256,
    /// `[captions, context_length]`
    ids: Vec<i32>,
    /// What each caption is told from others by: a hash of its tokens, those that were cut off among them.
    identities: Vec<u64>,
    /// Captions up to and with each pair's.
    captions_to: Vec<usize>,
}

impl PairDataset {
    /// An empty data set for a model.
    pub fn new(config: &ClipConfig, preprocess: Preprocess) -> Self {
        let text = config.text.clone();
        Self {
            preprocess,
            text,
            squares: Vec::new(),
            augmenter: None,
            squares_sum: Sha256::default(),
            ids: Vec::new(),
            identities: Vec::new(),
            captions_to: Vec::new(),
        }
    }

    /// The same for images that are made anew for each epoch.
    pub fn augmented(config: &ClipConfig, augmenter: Augmenter) -> Self {
        Self { augmenter: Some(augmenter.clone()), ..Self::new(config, augmenter.preprocess) }
    }

    /// What makes the images, where they are not held here.
    pub fn augmenter(&self) -> Option<&Augmenter> {
        self.augmenter.as_ref()
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.captions_to.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.captions_to.is_empty()
    }

    /// Adds an image and its captions, or nothing where one is refused.
    ///
    /// # Errors
    /// `image-too-small`, `empty-batch` without captions, `caption-too-long` (unless `truncate`).
    pub fn push(&mut self, image: &RgbImage, captions: &[String], tokenizer: &Tokenizer, truncate: bool) -> Result<()> {
        Preprocess::check(image)?;
        if captions.is_empty() {
            return Err(ClipError::EmptyBatch { what: "caption".into() });
        }
        let ids = tokenizer.tokenize(captions.iter().map(String::as_str), self.text.context_length, truncate)?;
        let square = self.preprocess.square(image);
        self.squares_sum.update(&square);
        if self.augmenter.is_none() {
            self.squares.push(square);
        }
        self.ids.extend(ids);
        self.identities.extend(captions.iter().map(|caption| {
            let mut hasher = DefaultHasher::new();
            tokenizer.encode(caption).hash(&mut hasher);
            hasher.finish()
        }));
        self.captions_to.push(self.captions());
        Ok(())
    }

    /// The images as the tower sees them, where they are held here: equal ones are one picture to it.
    pub fn squares(&self) -> &[Vec<u8>] {
        &self.squares
    }

    /// What the captions are told from each other by: equal for those that differ in case or white space alone.
    pub fn identities(&self) -> &[u64] {
        &self.identities
    }

    /// Number of captions.
    pub fn captions(&self) -> usize {
        self.ids.len() / self.text.context_length
    }

    /// Which captions are a pair's.
    pub fn captions_of(&self, pair: usize) -> Range<usize> {
        let first = pair.checked_sub(1).map_or(0, |before| self.captions_to[before]);
        first..self.captions_to[pair]
    }

    /// One caption of each pair for an epoch, drawn by `seed` and `epoch`.
    pub fn draw_captions(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // apart from the shuffles' and the patches' streams
        rng.set_stream(1 << 63 | epoch as u64);
        (0..self.len()).map(|pair| rng.random_range(self.captions_of(pair))).collect()
    }

    /// Token ids of all captions, row-major.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// SHA-256 of all pairs as the towers take them, in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut sum = self.squares_sum.clone();
        self.ids.iter().for_each(|id| sum.update(&id.to_le_bytes()));
        self.captions_to.iter().for_each(|&to| sum.update(&(to as u64).to_le_bytes()));
        sum.finish()
    }

    /// Moves the captions into another vocabulary: `renumbered` holds the new id of each old one.
    pub fn renumber(&mut self, renumbered: &[i32], vocab_size: usize) {
        self.ids.iter_mut().for_each(|id| *id = renumbered[*id as usize]);
        self.text.vocab_size = vocab_size;
    }

    /// Images of the pairs at `indices`, which are held here.
    ///
    /// # Shapes
    /// - output: `[indices, 3, size, size]`
    ///
    /// # Errors
    /// `empty-batch`; `shape-mismatch` where they are not held here.
    pub fn images(&self, indices: &[usize], device: &Device) -> Result<Tensor<4>> {
        if indices.is_empty() {
            return Err(ClipError::EmptyBatch { what: "image".into() });
        }
        if self.augmenter.is_some() {
            return Err(self.squares_mismatch(indices.len(), 0));
        }
        let levels: Vec<u8> = indices.iter().flat_map(|&i| &self.squares[i]).copied().collect();
        Ok(self.pixels(&levels, device))
    }

    /// Bytes of an image.
    fn square(&self) -> usize {
        3 * self.preprocess.size * self.preprocess.size
    }

    fn squares_mismatch(&self, images: usize, bytes: usize) -> ClipError {
        let size = self.preprocess.size;
        let expected = format!("[{images}, 3, {size}, {size}]");
        ClipError::ShapeMismatch { what: "squares".into(), expected, got: format!("{bytes} bytes") }
    }

    /// Refuses what are not so many images.
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub fn check_squares(&self, squares: &[u8], images: usize) -> Result<()> {
        if squares.len() == images * self.square() {
            return Ok(());
        }
        Err(self.squares_mismatch(images, squares.len()))
    }

    /// A range of images that were made elsewhere, as the tower takes them.
    ///
    /// # Shapes
    /// - squares: `[images, 3, size, size]`
    /// - output: `[range, 3, size, size]`
    pub fn made(&self, squares: &[u8], range: Range<usize>, device: &Device) -> Tensor<4> {
        self.pixels(&squares[range.start * self.square()..range.end * self.square()], device)
    }

    fn pixels(&self, squares: &[u8], device: &Device) -> Tensor<4> {
        let size = self.preprocess.size;
        let shape = [squares.len() / self.square(), 3, size, size];
        Tensor::from_data(TensorData::new(self.preprocess.normalize(squares), shape), device)
    }

    /// The captions at `rows`.
    ///
    /// # Errors
    /// `empty-batch`, `token-out-of-range`.
    pub fn texts(&self, rows: &[usize]) -> Result<TextBatch> {
        let context = self.text.context_length;
        let ids: Vec<i32> = rows.iter().flat_map(|&i| &self.ids[i * context..(i + 1) * context]).copied().collect();
        TextBatch::new(&ids, rows.len(), &self.text)
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

    #[test]
    fn an_epoch_takes_one_caption_of_each_image_and_others_take_others() {
        let config = ClipConfig::from_json(
            r#"{"embedDim":4,"vision":{"imageSize":4,"patchSize":4,"width":4,"layers":1,"heads":1},
                "text":{"contextLength":4,"width":4,"layers":1,"heads":1}}"#,
        )
        .unwrap();
        let mut pairs = PairDataset::new(&config, Preprocess::clip(4));
        // as after two images, the second with three captions
        pairs.captions_to = vec![1, 4];
        assert_eq!((pairs.captions_of(0), pairs.captions_of(1)), (0..1, 1..4));
        let drawn: Vec<_> = (0..50).map(|epoch| pairs.draw_captions(7, epoch)).collect();
        assert_eq!(drawn[3], pairs.draw_captions(7, 3));
        for caption in 1..4 {
            assert!(drawn.contains(&vec![0, caption]));
        }
        let image = RgbImage::new(4, 4, vec![0; 48]).unwrap();
        let tokenizer = Tokenizer::from_merges("#version: 0.2\na b</w>", Default::default()).unwrap();
        assert_eq!(pairs.push(&image, &[], &tokenizer, false).unwrap_err().code(), "empty-batch");
    }
}
