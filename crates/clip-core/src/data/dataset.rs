//! Image–text pairs in memory, as 8-bit images of the model's size and token ids. An image may have several captions.

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
use crate::tokenizer::{Tokenize, Tokenizer};

/// Pairs in memory: `4 * context_length + 8` bytes a caption and, where it holds its images, `3 * size²` an image.
pub struct PairDataset {
    preprocess: Preprocess,
    text: TextConfig,
    /// `[3, size, size]` of each image. One vector of all would be copied and over-allocated whenever it grows. `None` where the caller
    /// holds the files and makes the images of each step.
    squares: Option<Vec<Vec<u8>>>,
    /// Crops the images anew in each epoch; the caller holds the files then.
    augmenter: Option<Augmenter>,
    /// SHA-256 of the images, updated at each push: hashing all of them at once would take seconds.
    squares_sum: Sha256,
    /// `[captions, context_length]`
    ids: Vec<i32>,
    /// Hash of each caption's tokens, before truncation.
    identities: Vec<u64>,
    /// Number of captions up to and including each pair's.
    captions_to: Vec<usize>,
}

/// An image and its captions, as a data set holds them.
#[derive(Debug, Clone)]
pub struct PreparedPair {
    square: Vec<u8>,
    ids: Vec<i32>,
    identities: Vec<u64>,
}

impl PairDataset {
    /// An empty data set for a model.
    pub fn new(config: &ClipConfig, preprocess: Preprocess) -> Self {
        let text = config.text.clone();
        Self {
            preprocess,
            text,
            squares: Some(Vec::new()),
            augmenter: None,
            squares_sum: Sha256::default(),
            ids: Vec::new(),
            identities: Vec::new(),
            captions_to: Vec::new(),
        }
    }

    /// An empty data set whose images are re-cropped in each epoch.
    pub fn augmented(config: &ClipConfig, augmenter: Augmenter) -> Self {
        Self { augmenter: Some(augmenter.clone()), squares: None, ..Self::new(config, augmenter.preprocess) }
    }

    /// Whether it holds its images. If not, the caller makes those of each step.
    pub fn holds_images(&self) -> bool {
        self.squares.is_some()
    }

    /// Frees the images: from now on the caller makes those of each step, by [`Preprocess::square`].
    pub fn release_images(&mut self) {
        self.squares = None;
    }

    /// The crops of a data set that does not hold its images.
    pub fn augmenter(&self) -> Option<&Augmenter> {
        self.augmenter.as_ref()
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.captions_to.len()
    }

    /// Whether it has no pairs.
    pub fn is_empty(&self) -> bool {
        self.captions_to.is_empty()
    }

    /// Adds an image and its captions; adds nothing on an error.
    ///
    /// # Errors
    /// Those of [`prepare`](Self::prepare).
    pub fn push(&mut self, image: &RgbImage, captions: &[String], tokenizer: &Tokenizer, truncate: bool) -> Result<()> {
        let pair = self.prepare(image, captions, tokenizer, truncate)?;
        self.add(pair);
        Ok(())
    }

    /// Resizes an image and tokenizes its captions, ready for [`add`](Self::add). It takes `&self`, so several threads can prepare
    /// pairs at once.
    ///
    /// # Errors
    /// `image-too-small`, `empty-batch` without captions, `caption-too-long` (unless `truncate`); those of the tokenizer.
    pub fn prepare(
        &self,
        image: &RgbImage,
        captions: &[String],
        tokenizer: &(impl Tokenize + ?Sized),
        truncate: bool,
    ) -> Result<PreparedPair> {
        Preprocess::check(image)?;
        if captions.is_empty() {
            return Err(ClipError::EmptyBatch { what: "caption".into() });
        }
        let (mut ids, mut identities) = (Vec::new(), Vec::new());
        for caption in captions {
            ids.extend(tokenizer.tokenize(caption, self.text.context_length, truncate)?);
            let mut hasher = DefaultHasher::new();
            tokenizer.encode(caption)?.hash(&mut hasher);
            identities.push(hasher.finish());
        }
        Ok(PreparedPair { square: self.preprocess.square(image), ids, identities })
    }

    /// Adds a pair that [`prepare`](Self::prepare) returned.
    pub fn add(&mut self, PreparedPair { square, ids, identities }: PreparedPair) {
        self.squares_sum.update(&square);
        if let Some(squares) = &mut self.squares {
            squares.push(square);
        }
        self.ids.extend(ids);
        self.identities.extend(identities);
        self.captions_to.push(self.captions());
    }

    /// `[3, size, size]` of each image; empty if the data set does not hold them. Images with equal bytes are equal to the model.
    pub fn squares(&self) -> &[Vec<u8>] {
        self.squares.as_deref().unwrap_or_default()
    }

    /// Hash of each caption's tokens: equal for captions that differ only in case or white space.
    pub fn identities(&self) -> &[u64] {
        &self.identities
    }

    /// Number of captions.
    pub fn captions(&self) -> usize {
        self.ids.len() / self.text.context_length
    }

    /// Indices of the captions of a pair.
    pub fn captions_of(&self, pair: usize) -> Range<usize> {
        let first = pair.checked_sub(1).map_or(0, |before| self.captions_to[before]);
        first..self.captions_to[pair]
    }

    /// Draws one caption of each pair, by `seed` and `epoch`; returns their indices.
    pub fn draw_captions(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // a stream that neither the shuffles nor the patches use
        rng.set_stream(1 << 63 | epoch as u64);
        (0..self.len()).map(|pair| rng.random_range(self.captions_of(pair))).collect()
    }

    /// Token ids of all captions, row-major.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// Returns the SHA-256 of all pairs, as images of the model's size and token ids, in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut sum = self.squares_sum.clone();
        self.ids.iter().for_each(|id| sum.update(&id.to_le_bytes()));
        self.captions_to.iter().for_each(|&to| sum.update(&(to as u64).to_le_bytes()));
        sum.finish()
    }

    /// Replaces token ids by those of another vocabulary: `renumbered` holds the new id of each old one.
    pub fn renumber(&mut self, renumbered: &[i32], vocab_size: usize) {
        self.ids.iter_mut().for_each(|id| *id = renumbered[*id as usize]);
        self.text.vocab_size = vocab_size;
    }

    /// Returns the images of the pairs at `indices`, normalised.
    ///
    /// # Shapes
    /// - output: `[indices, 3, size, size]`
    ///
    /// # Errors
    /// `empty-batch`; `shape-mismatch` if the data set does not hold its images.
    pub fn images(&self, indices: &[usize], device: &Device) -> Result<Tensor<4>> {
        if indices.is_empty() {
            return Err(ClipError::EmptyBatch { what: "image".into() });
        }
        let Some(squares) = &self.squares else { return Err(self.squares_mismatch(indices.len(), 0)) };
        let levels: Vec<u8> = indices.iter().flat_map(|&i| &squares[i]).copied().collect();
        Ok(self.pixels(&levels, device))
    }

    /// Bytes of an image.
    pub fn square_bytes(&self) -> usize {
        3 * self.preprocess.size * self.preprocess.size
    }

    fn squares_mismatch(&self, images: usize, bytes: usize) -> ClipError {
        let size = self.preprocess.size;
        let expected = format!("[{images}, 3, {size}, {size}]");
        ClipError::ShapeMismatch { what: "squares".into(), expected, got: format!("{bytes} bytes") }
    }

    /// Checks that images made elsewhere are as many as expected.
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub fn check_squares(&self, squares: &[u8], images: usize) -> Result<()> {
        if squares.len() == images * self.square_bytes() {
            return Ok(());
        }
        Err(self.squares_mismatch(images, squares.len()))
    }

    /// Normalises a range of images that were made elsewhere.
    ///
    /// # Shapes
    /// - squares: `[images, 3, size, size]`
    /// - output: `[range, 3, size, size]`
    pub fn normalized(&self, squares: &[u8], range: Range<usize>, device: &Device) -> Tensor<4> {
        self.pixels(&squares[range.start * self.square_bytes()..range.end * self.square_bytes()], device)
    }

    fn pixels(&self, squares: &[u8], device: &Device) -> Tensor<4> {
        let size = self.preprocess.size;
        let shape = [squares.len() / self.square_bytes(), 3, size, size];
        Tensor::from_data(TensorData::new(self.preprocess.normalize(squares), shape), device)
    }

    /// Returns the captions at `rows`.
    ///
    /// # Errors
    /// `empty-batch`, `token-out-of-range`.
    pub fn texts(&self, rows: &[usize]) -> Result<TextBatch> {
        let context = self.text.context_length;
        let ids: Vec<i32> = rows.iter().flat_map(|&i| &self.ids[i * context..(i + 1) * context]).copied().collect();
        TextBatch::new(&ids, rows.len(), &self.text)
    }
}

/// Returns the number of batches of an epoch.
pub fn batch_count(count: usize, batch_size: usize) -> usize {
    if count < batch_size { count.min(1) } else { count / batch_size }
}

/// Returns the batches of one epoch: `0..count`, shuffled by `seed` and `epoch`, in chunks of `batch_size`. The last batch is
/// dropped unless it is full or the only one, as a smaller batch has fewer negatives.
pub fn batches(count: usize, batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    // one stream per epoch
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
    fn each_epoch_shuffles_and_takes_each_pair_at_most_once() {
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
        for (count, size) in [(0, 4), (1, 4), (3, 4), (4, 4), (5, 4), (7, 2), (8, 2)] {
            assert_eq!(batch_count(count, size), batches(count, size, 0, 0).len(), "{count} {size}");
        }
    }

    #[test]
    fn each_epoch_draws_one_caption_of_each_image() {
        let config = ClipConfig::from_json(
            r#"{"embedDim":4,"vision":{"imageSize":4,"patchSize":4,"width":4,"layers":1,"heads":1},
                "text":{"contextLength":4,"width":4,"layers":1,"heads":1}}"#,
        )
        .unwrap();
        let mut pairs = PairDataset::new(&config, Preprocess::clip(4));
        // two images, the second with three captions
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
