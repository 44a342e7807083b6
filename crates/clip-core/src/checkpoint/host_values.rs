//! A tensor's values in host memory, while its bytes arrive.

use burn::tensor::{DType, Device, Tensor, TensorData, bf16, f16};

use super::stored_dtype::StoredDtype;
use crate::error::{ClipError, Result};

/// Values in the type that the device will keep.
pub(super) enum HostValues {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl HostValues {
    pub(super) fn new(is_f16: bool, count: usize) -> Result<Self> {
        fn filled<T: Copy>(value: T, count: usize) -> Result<Vec<T>> {
            let mut values = Vec::new();
            let bytes = count * size_of::<T>();
            values.try_reserve_exact(count).map_err(|_full| ClipError::OutOfMemory { bytes })?;
            values.resize(count, value);
            Ok(values)
        }
        Ok(if is_f16 { Self::F16(filled(f16::ZERO, count)?) } else { Self::F32(filled(0.0, count)?) })
    }

    /// Casts a file's values into place, starting at index `first`. Returns whether all are finite.
    pub(super) fn put(&mut self, first: usize, dtype: StoredDtype, bytes: &[u8]) -> bool {
        fn each<T: Copy, const N: usize>(
            values: &mut [T],
            bytes: &[u8],
            read: impl Fn([u8; N]) -> T,
            finite: impl Fn(T) -> bool,
        ) -> bool {
            let mut all = true;
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = read(*bytes);
                all &= finite(*value);
            }
            all
        }
        match (self, dtype) {
            (Self::F32(values), StoredDtype::F32) => {
                each(&mut values[first..], bytes, f32::from_le_bytes, |x| x.abs() < f32::INFINITY)
            }
            (Self::F32(values), StoredDtype::F16) => {
                each(&mut values[first..], bytes, |b| f16::from_le_bytes(b).to_f32(), f32::is_finite)
            }
            (Self::F32(values), StoredDtype::Bf16) => {
                each(&mut values[first..], bytes, |b| bf16::from_le_bytes(b).to_f32(), f32::is_finite)
            }
            (Self::F32(values), StoredDtype::F64) => {
                each(&mut values[first..], bytes, |b| f64::from_le_bytes(b) as f32, f32::is_finite)
            }
            (Self::F16(values), StoredDtype::F16) => {
                each(&mut values[first..], bytes, f16::from_le_bytes, f16::is_finite)
            }
            // rounded only on request: the token table of `q8`
            (Self::F16(values), StoredDtype::F32) => {
                each(&mut values[first..], bytes, |b| f16::from_f32(f32::from_le_bytes(b)), f16::is_finite)
            }
            (Self::F16(values), StoredDtype::Bf16) => {
                each(&mut values[first..], bytes, |b| f16::from_f32(bf16::from_le_bytes(b).to_f32()), f16::is_finite)
            }
            (Self::F16(values), StoredDtype::F64) => {
                each(&mut values[first..], bytes, |b| f16::from_f64(f64::from_le_bytes(b)), f16::is_finite)
            }
        }
    }

    pub(super) fn transposed(self, rows: usize, columns: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(transpose(&values, rows, columns)),
            Self::F16(values) => Self::F16(transpose(&values, rows, columns)),
        }
    }

    pub(super) fn into_tensor(self, device: &Device) -> Tensor<1> {
        match self {
            Self::F32(values) => {
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), device)
            }
            Self::F16(values) => {
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), (device, DType::F16))
            }
        }
    }
}

/// Transposes row-major `[rows, columns]` to `[columns, rows]`, in tiles that fit into the cache.
pub(super) fn transpose<T: Copy + Default>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    const TILE: usize = 32;
    let mut out = vec![T::default(); values.len()];
    for r in (0..rows).step_by(TILE) {
        for c in (0..columns).step_by(TILE) {
            for row in r..rows.min(r + TILE) {
                for column in c..columns.min(c + TILE) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}
