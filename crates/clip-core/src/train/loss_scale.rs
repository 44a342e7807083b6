//! Loss scaling against underflow of gradients in f16, by the rule of `torch.amp.GradScaler`. A step whose gradients
//! overflow is repeated at a smaller scale; there it is skipped.
//!
//! Source: <https://github.com/pytorch/pytorch/blob/v2.9.0/torch/amp/grad_scaler.py#L122-L143>

use serde::{Deserialize, Serialize};

/// Steps without an overflow after which the scale doubles.
const INTERVAL: u32 = 2_000;

/// Factor of the loss: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    exponent: u8,
    /// Steps since the last change.
    steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self::ONE
    }
}

impl LossScale {
    /// 1: an unscaled loss.
    pub const ONE: Self = Self { exponent: 0, steps: 0 };
    /// 65,536, where f16 starts.
    pub const INITIAL: Self = Self { exponent: 16, steps: 0 };

    /// The factor.
    pub fn value(self) -> f64 {
        2f64.powi(self.exponent.into())
    }

    /// Halves the scale after gradients that were not finite; `None` if it is 1 already.
    pub(super) fn after_overflow(self) -> Option<Self> {
        Some(Self { exponent: self.exponent.checked_sub(1)?, steps: 0 })
    }

    /// Counts a step with finite gradients; doubles the scale every [`INTERVAL`] of them, up to 2²⁴.
    pub(super) fn after_step(self) -> Self {
        let steps = self.steps + 1;
        if steps < INTERVAL || self.exponent >= 24 {
            return Self { steps: steps.min(INTERVAL), ..self };
        }
        Self { exponent: self.exponent + 1, steps: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_at_each_overflow_and_doubles_after_an_interval_without() {
        let mut scale = LossScale::INITIAL;
        assert_eq!(scale.value(), 65_536.0);
        scale = scale.after_overflow().unwrap();
        assert_eq!(scale.value(), 32_768.0);
        for _ in 1..INTERVAL {
            scale = scale.after_step();
        }
        assert_eq!(scale.value(), 32_768.0);
        scale = scale.after_step();
        assert_eq!(scale, LossScale::INITIAL);
        assert_eq!(LossScale::ONE.after_overflow(), None);
        let mut largest = LossScale { exponent: 24, steps: 0 };
        for _ in 0..2 * INTERVAL {
            largest = largest.after_step();
        }
        assert_eq!(largest.exponent, 24);
    }
}
