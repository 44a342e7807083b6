//! A batch of pairs whose images are made in parts.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::features::FeatureCache;
use crate::data::PairDataset;
use crate::error::Result;
use crate::model::{TextBatch, Towers};

/// The pairs of one step, those of all ranks. A rank requests images of its own pairs only, and in parts, so that few are in memory.
pub trait Batch {
    /// Number of images.
    fn images(&self) -> usize;

    /// Returns a range of the images.
    ///
    /// # Shapes
    /// - output: `[range, 3, size, size]`
    ///
    /// # Errors
    /// Those of the data's source.
    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>>;

    /// Returns all captions.
    ///
    /// # Errors
    /// Those of [`TextBatch::new`].
    fn texts(&self) -> Result<TextBatch>;

    /// Whether a tower is locked: its features are cached.
    fn is_locked(&self, _tower: Towers) -> bool {
        false
    }

    /// Returns the cached features of a range of pairs of a locked tower, `[range, embed_dim]`; `None` for a tower that is trained.
    fn locked(&self, _tower: Towers, _range: Range<usize>, _device: &Device) -> Option<Tensor<2>> {
        None
    }
}

/// Pixels, `[batch, 3, size, size]`, and captions that are in memory.
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
    pub(super) dataset: &'a PairDataset,
    /// Indices of the pairs.
    pub(super) indices: &'a [usize],
    /// Index of the caption of each pair.
    pub(super) captions: &'a [usize],
    /// 8-bit images of the own pairs, where the data set does not hold them: `[own, 3, size, size]`.
    pub(super) squares: Option<&'a [u8]>,
    /// The rank's pairs, a range of the batch.
    pub(super) own: Range<usize>,
    /// Features of a locked tower, filled for the own pairs.
    pub(super) features: Option<&'a FeatureCache>,
}

impl Batch for DatasetBatch<'_> {
    fn images(&self) -> usize {
        self.indices.len()
    }

    fn pixels(&self, range: Range<usize>, device: &Device) -> Result<Tensor<4>> {
        match self.squares {
            Some(squares) => {
                let held = range.start - self.own.start..range.end - self.own.start;
                Ok(self.dataset.normalized(squares, held, device))
            }
            None => self.dataset.images(&self.indices[range], device),
        }
    }

    fn texts(&self) -> Result<TextBatch> {
        self.dataset.texts(self.captions)
    }

    fn is_locked(&self, tower: Towers) -> bool {
        self.features.is_some_and(|features| features.tower() == tower)
    }

    fn locked(&self, tower: Towers, range: Range<usize>, device: &Device) -> Option<Tensor<2>> {
        let features = self.features.filter(|features| features.tower() == tower)?;
        let rows = if tower == Towers::Text { self.captions } else { self.indices };
        Some(features.rows(&rows[range], device))
    }
}
