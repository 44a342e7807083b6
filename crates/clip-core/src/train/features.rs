//! Features of a locked tower: computed once an image or a caption, as they never change (LiT, arXiv 2111.07991).

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::PairDataset;
use crate::device::read;
use crate::error::Result;
use crate::model::{Clip, Towers};

/// Rows encoded together, where nothing else says how many.
const CHUNK: usize = 64;

/// What a locked tower makes of each image, or each caption, of a data set, as far as it was asked for.
pub(super) struct FeatureCache {
    tower: Towers,
    dim: usize,
    /// `[images or captions, dim]`
    values: Vec<f32>,
    known: Vec<bool>,
}

impl FeatureCache {
    /// For a tower, which is one of the two.
    pub(super) fn new(tower: Towers, dataset: &PairDataset, dim: usize) -> Self {
        let rows = if tower == Towers::Text { dataset.captions() } else { dataset.len() };
        Self { tower, dim, values: vec![0.0; rows * dim], known: vec![false; rows] }
    }

    pub(super) fn tower(&self) -> Towers {
        self.tower
    }

    /// Computes what is missing of some rows; `model` is without autodiff.
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

    /// Features of rows that were filled.
    ///
    /// # Shapes
    /// - output: `[indices, dim]`, of length one
    pub(super) fn rows(&self, indices: &[usize], device: &Device) -> Tensor<2> {
        let rows = indices.iter().flat_map(|&index| &self.values[index * self.dim..(index + 1) * self.dim]);
        Tensor::from_data(TensorData::new(rows.copied().collect::<Vec<f32>>(), [indices.len(), self.dim]), device)
    }
}
