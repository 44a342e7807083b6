//! A batch of pairs, made a part at a time.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::data::PairDataset;
use crate::error::Result;
use crate::model::TextBatch;

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
}

impl Batch for DatasetBatch<'_> {
    fn images(&self) -> usize {
        self.indices.len()
    }

    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>> {
        self.dataset.images(&self.indices[range], device)
    }

    fn texts(&self) -> Result<TextBatch> {
        self.dataset.texts(self.indices)
    }
}
