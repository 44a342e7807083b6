//! A batch of pairs, made a part at a time.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::features::FeatureCache;
use crate::data::PairDataset;
use crate::error::Result;
use crate::model::{TextBatch, Towers};

/// Pairs of one step. Images are asked for in parts, so that no more than a part of them need be in memory.
pub trait Batch {
    /// Number of images.
    fn images(&self) -> usize;

    /// Images of a part.
    ///
    /// # Shapes
    /// - output: `[range, 3, size, size]`
    ///
    /// # Errors
    /// Those of whatever makes them.
    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>>;

    /// All captions.
    ///
    /// # Errors
    /// Those of [`TextBatch::new`].
    fn texts(&self) -> Result<TextBatch>;

    /// What a locked tower makes of all of them, `[batch, embed_dim]`: that tower then learns nothing.
    fn locked(&self, _tower: Towers, _device: &Device) -> Option<Tensor<2>> {
        None
    }
}

/// Pairs that are there: pixels `[batch, 3, size, size]` and captions.
impl Batch for (Tensor<4>, TextBatch) {
    fn images(&self) -> usize {
        self.0.dims()[0]
    }

    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>> {
        Ok(self.0.clone().slice_dim(0, range).to_device(device))
    }

    fn texts(&self) -> Result<TextBatch> {
        Ok(self.1.clone())
    }
}

/// Pairs of a data set.
pub(super) struct DatasetBatch<'a> {
    /// All pairs.
    pub(super) dataset: &'a PairDataset,
    /// Those of the batch.
    pub(super) indices: &'a [usize],
    /// The caption of each.
    pub(super) captions: &'a [usize],
    /// Its images, where the data set does not hold them.
    pub(super) squares: Option<&'a [u8]>,
    /// Features of a locked tower, filled for these.
    pub(super) features: Option<&'a FeatureCache>,
}

impl Batch for DatasetBatch<'_> {
    fn images(&self) -> usize {
        self.indices.len()
    }

    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>> {
        match self.squares {
            Some(squares) => Ok(self.dataset.made(squares, range, device)),
            None => self.dataset.images(&self.indices[range], device),
        }
    }

    fn texts(&self) -> Result<TextBatch> {
        self.dataset.texts(self.captions)
    }

    fn locked(&self, tower: Towers, device: &Device) -> Option<Tensor<2>> {
        let features = self.features.filter(|features| features.tower() == tower)?;
        let rows = if tower == Towers::Text { self.captions } else { self.indices };
        Some(features.rows(rows, device))
    }
}
