//! What keeps small gradients from becoming none in half precision: `torch.amp.GradScaler`'s rule, but that a step whose gradients
//! are too large for it is made again, where there they are left out.
//!
//! Source: <https://github.com/pytorch/pytorch/blob/v2.9.0/torch/amp/grad_scaler.py#L122-L143>

use serde::{Deserialize, Serialize};

/// Steps without an overflow after which the scale doubles.
const INTERVAL: u32 = 2_000;

/// A power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossScale {
    exponent: u8,
    /// Steps since it last changed.
    steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self::NONE
    }
}

impl LossScale {
    /// One.
    pub const NONE: Self = Self { exponent: 0, steps: 0 };
    /// 65,536.
    pub const FIRST: Self = Self { exponent: 16, steps: 0 };

    /// The number.
    pub fn value(self) -> f64 {
        2f64.powi(self.exponent.into())
    }

    /// After gradients that were not finite: half of it, or nothing where there is no less.
    pub(super) fn after_overflow(self) -> Option<Self> {
        Some(Self { exponent: self.exponent.checked_sub(1)?, steps: 0 })
    }

    /// After a step.
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
    fn it_halves_at_each_overflow_and_doubles_after_many_steps_without() {
        let mut scale = LossScale::FIRST;
        assert_eq!(scale.value(), 65_536.0);
        scale = scale.after_overflow().unwrap();
        assert_eq!(scale.value(), 32_768.0);
        for _ in 1..INTERVAL {
            scale = scale.after_step();
        }
        assert_eq!(scale.value(), 32_768.0);
        scale = scale.after_step();
        assert_eq!(scale, LossScale::FIRST);
        assert_eq!(LossScale::NONE.after_overflow(), None);
        let mut largest = LossScale { exponent: 24, steps: 0 };
        for _ in 0..2 * INTERVAL {
            largest = largest.after_step();
        }
        assert_eq!(largest.exponent, 24);
    }
}
