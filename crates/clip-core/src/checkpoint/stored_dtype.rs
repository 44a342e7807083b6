//! Element types of weights in files.

use burn::tensor::{bf16, f16};

use super::header::TensorInfo;
use crate::error::{ClipError, Result};

/// A float type that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredDtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl StoredDtype {
    /// Element type of a tensor.
    ///
    /// # Errors
    /// `invalid-checkpoint` for any other type.
    pub(super) fn of(key: &str, info: &TensorInfo) -> Result<Self> {
        match info.dtype.as_str() {
            "F64" => Ok(Self::F64),
            "F32" => Ok(Self::F32),
            "F16" => Ok(Self::F16),
            "BF16" => Ok(Self::Bf16),
            other => Err(ClipError::InvalidCheckpoint {
                message: format!(
                    "{key}: expected F64, F32, F16 or BF16, got {other}: load the weights from before quantisation"
                ),
            }),
        }
    }

    /// Bytes of an element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Casts an element to f32.
    pub(super) fn value(self, b: &[u8]) -> f32 {
        match self {
            Self::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32,
            Self::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        }
    }
}
