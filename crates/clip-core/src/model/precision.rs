//! Precision of the products of the blocks' matrices.

use core::fmt;

use burn::tensor::{Device, FloatDType};

use crate::error::{ClipError, Result};

/// In what the blocks multiply matrices. Weights, norms, softmax and the residual stream are in f32 whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatmulPrecision {
    /// As everything else.
    #[default]
    F32,
    /// 10 bits of fraction; from 65,504 on infinite, so that training scales its loss.
    F16,
    /// 7 bits of fraction, and the range of f32.
    Bf16,
}

impl MatmulPrecision {
    const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// `f32`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Type that operands are cast to; `None` for f32.
    pub fn half(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(FloatDType::F16),
            Self::Bf16 => Some(FloatDType::BF16),
        }
    }

    /// The precision of this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    fn is_supported(self, device: &Device) -> bool {
        self.half().is_none_or(|half| device.supports_dtype(half))
    }

    /// Checks that a device multiplies in this precision.
    ///
    /// # Errors
    /// `invalid-option` with those in which it does.
    pub fn check(self, device: &Device) -> Result<()> {
        if self.is_supported(device) {
            return Ok(());
        }
        let others = Self::ALL.into_iter().filter(|precision| precision.is_supported(device)).map(Self::name);
        let expected = format!("{} on a device without {self}", others.collect::<Vec<_>>().join(" or "));
        Err(ClipError::invalid_option("precision", &expected, self))
    }
}

impl fmt::Display for MatmulPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
