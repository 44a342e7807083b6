//! Negatives: the image–caption combinations of a batch that do not match.

use std::ops::Range;

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Negatives of a batch: each image with the captions of all other pairs, or of all other pairs with another caption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Negatives {
    /// For each pair, the first pair with the same caption; `None` if duplicates count as negatives.
    alike: Option<Vec<usize>>,
}

impl Negatives {
    /// All other pairs.
    pub fn all() -> Self {
        Self::default()
    }

    /// All other pairs with another caption; `alike` holds for each pair the first pair with the same caption.
    pub fn without_duplicates(alike: Vec<usize>) -> Self {
        Self { alike: Some(alike) }
    }

    fn is_ignored(&self, row: usize, column: usize) -> bool {
        row != column && self.alike.as_ref().is_some_and(|alike| alike[row] == alike[column])
    }

    /// Returns the mask of entries that are neither positive nor negative, `[rows, n]`; `None` if it would be empty.
    pub(super) fn ignored(&self, rows: Range<usize>, n: usize, device: &Device) -> Option<Tensor<2, Bool>> {
        self.alike.as_ref()?;
        let count = rows.len();
        let mask: Vec<bool> = rows.flat_map(|row| (0..n).map(move |column| self.is_ignored(row, column))).collect();
        mask.contains(&true).then(|| Tensor::from_data(TensorData::new(mask, [count, n]), device))
    }

    /// Returns the targets of the softmax over some rows, `[rows, n]`: 1 - `smoothing` at the pair itself, plus `smoothing` spread
    /// evenly over all entries that are not ignored, as in `torch.nn.functional.cross_entropy`.
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
