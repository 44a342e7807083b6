//! How a checkpoint is loaded.

use crate::error::{ClipError, Result};
use crate::model::Towers;

/// Types in which weights are kept on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// f16 matrices stay f16 where the device supports it, and are cast at each use; everything else is f32.
    #[default]
    Auto,
    /// Everything is f32.
    F32,
    /// The matrices of the blocks are quantised to 8-bit integers (see [`clip_kernels::quantize`]) and the token table is f16;
    /// the rest as in `Auto`.
    Int8,
}

impl Precision {
    /// `auto`, `f32` or `q8`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "q8" => Ok(Self::Int8),
            got => Err(ClipError::unknown_name("dtype", "auto, f32 or q8", got)),
        }
    }
}

/// Options of a load.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Towers to load.
    pub towers: Towers,
    /// Types of the weights on the device.
    pub precision: Precision,
    /// Largest tensor that the device allows, in bytes; a larger token table is split by rows.
    pub max_tensor_bytes: Option<u64>,
}
