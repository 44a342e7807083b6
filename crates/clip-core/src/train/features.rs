//! Features of a locked tower, computed once per image or caption: they never change (LiT, arXiv 2111.07991).

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::PairDataset;
use crate::device::read;
use crate::error::Result;
use crate::model::{Clip, Towers};

/// Rows encoded together, unless the run has a micro-batch size.
const CHUNK: usize = 64;

/// Features of the images or the captions of a data set, those that were needed so far.
pub(super) struct FeatureCache {
    tower: Towers,
    dim: usize,
    /// `[images or captions, dim]`
    values: Vec<f32>,
    /// Whether each row has been computed.
    known: Vec<bool>,
}

impl FeatureCache {
    /// An empty cache for one tower, of `dim` features.
    pub(super) fn new(tower: Towers, dataset: &PairDataset, dim: usize) -> Self {
        let rows = if tower == Towers::Text { dataset.captions() } else { dataset.len() };
        Self { tower, dim, values: vec![0.0; rows * dim], known: vec![false; rows] }
    }

    pub(super) fn tower(&self) -> Towers {
        self.tower
    }

    /// Computes those of the rows that are missing. The model is without autodiff.
    pub(super) async fn fill(
        &mut self,
        model: impl FnOnce() -> Clip,
        dataset: &PairDataset,
        indices: &[usize],
        chunk: Option<usize>,
    ) -> Result<()> {
        let missing: Vec<usize> = indices.iter().copied().filter(|&index| !self.known[index]).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let model = model();
        for part in missing.chunks(chunk.unwrap_or(CHUNK)) {
            let features = match self.tower {
                Towers::Text => model.encode_text(&dataset.texts(part)?)?,
                _ => model.encode_image(dataset.images(part, &model.device())?)?,
            };
            let values = read(features).await?;
            for (&index, row) in part.iter().zip(values.chunks_exact(self.dim)) {
                self.values[index * self.dim..(index + 1) * self.dim].copy_from_slice(row);
                self.known[index] = true;
            }
        }
        Ok(())
    }

    /// Returns the features of rows that have been filled.
    ///
    /// # Shapes
    /// - output: `[indices, dim]`, rows of length one
    pub(super) fn rows(&self, indices: &[usize], device: &Device) -> Tensor<2> {
        let rows = indices.iter().flat_map(|&index| &self.values[index * self.dim..(index + 1) * self.dim]);
        Tensor::from_data(TensorData::new(rows.copied().collect::<Vec<f32>>(), [indices.len(), self.dim]), device)
    }
}
