//! Which pairs of a batch do not match.

use std::ops::Range;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// The negatives of a batch: all images with all captions of other pairs, or all but those with the same caption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Negatives {
    /// For each pair the first one with the same caption.
    alike: Option<Vec<usize>>,
}

impl Negatives {
    /// Every other pair.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every pair with another caption; `alike` names for each pair the first one that has the same.
    pub fn without_duplicates(alike: Vec<usize>) -> Self {
        Self { alike: Some(alike) }
    }

    fn is_ignored(&self, row: usize, column: usize) -> bool {
        row != column && self.alike.as_ref().is_some_and(|alike| alike[row] == alike[column])
    }

    /// Entries of some rows that are neither positive nor negative, `[rows, n]`; nothing where there is none.
    pub(super) fn ignored(&self, rows: Range<usize>, n: usize, device: &Device) -> Option<Tensor<2, Bool>> {
        self.alike.as_ref()?;
        let count = rows.len();
        let mask: Vec<bool> = rows.flat_map(|row| (0..n).map(move |column| self.is_ignored(row, column))).collect();
        mask.contains(&true).then(|| Tensor::from_data(TensorData::new(mask, [count, n]), device))
    }

    /// What the softmax over some rows is held against, `[rows, n]`: 1 - `smoothing` at the pair itself, and `smoothing`
    /// shared evenly by all that are not ignored, the pair included, as `torch.nn.functional.cross_entropy` does.
    pub(super) fn targets(&self, rows: Range<usize>, n: usize, smoothing: f64, device: &Device) -> Tensor<2> {
        let mut targets = vec![0.0f32; rows.len() * n];
        for (row, values) in rows.clone().zip(targets.chunks_exact_mut(n)) {
            if smoothing > 0.0 {
                let counted = (0..n).filter(|&column| !self.is_ignored(row, column)).count();
                for (column, value) in values.iter_mut().enumerate() {
                    *value = if self.is_ignored(row, column) { 0.0 } else { (smoothing / counted as f64) as f32 };
                }
            }
            values[row] += (1.0 - smoothing) as f32;
        }
        Tensor::from_data(TensorData::new(targets, [rows.len(), n]), device)
    }
}
