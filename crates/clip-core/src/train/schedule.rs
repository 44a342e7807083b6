//! Learning rate over the steps.

use serde::{Deserialize, Serialize};

use super::optimizer::{POSITIVE, is_positive};
use crate::error::{ClipError, Result};

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine from the base rate to zero at the last step.
    #[default]
    Cosine,
    /// A straight line from the base rate to zero after the last step.
    Linear,
    /// The base rate throughout.
    Constant,
}

impl Decay {
    /// `cosine`, `linear` or `constant`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "linear" => Ok(Self::Linear),
            "constant" => Ok(Self::Constant),
            got => Err(ClipError::unknown_name("schedule", "cosine, linear or constant", got)),
        }
    }
}

/// Linear warm-up, then `decay`:
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip_train/scheduler.py>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub base: f64,
    /// Steps of the warm-up.
    pub warmup: usize,
    /// Steps in all.
    pub total: usize,
    /// What follows the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// # Errors
    /// `invalid-option` for a rate that is not a number above zero.
    pub fn new(base: f64, warmup: usize, total: usize, decay: Decay) -> Result<Self> {
        if !is_positive(base) {
            return Err(ClipError::invalid_option("lr", POSITIVE, base));
        }
        Ok(Self { base, warmup, total, decay })
    }

    /// Rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.base * (step + 1) as f64 / self.warmup as f64;
        }
        match self.decay {
            Decay::Constant => self.base,
            Decay::Linear => (1.0 - self.done(step)) * self.base,
            Decay::Cosine => 0.5 * (1.0 + (core::f64::consts::PI * self.done(step)).cos()) * self.base,
        }
    }

    /// Share of what follows the warm-up.
    fn done(&self, step: usize) -> f64 {
        // a warm-up as long as the run leaves nothing to decay over
        let span = self.total.saturating_sub(self.warmup).max(1);
        (step - self.warmup).min(span) as f64 / span as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_below_or_beside_the_numbers_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1e-3, 1e39, 1e-39, 1e-300] {
            assert_eq!(Schedule::new(bad, 0, 1, Decay::Cosine).unwrap_err().code(), "invalid-option");
        }
    }

    #[test]
    fn warm_up_longer_than_the_run_never_divides_by_zero() {
        let schedule = Schedule::new(1.0, 10, 5, Decay::Cosine).unwrap();
        assert!((0..20).all(|step| schedule.at(step).is_finite()));
    }

    #[test]
    fn a_line_ends_where_the_cosine_does() {
        let schedule = Schedule::new(2.0, 2, 10, Decay::Linear).unwrap();
        assert_eq!([0, 1, 2, 6, 10].map(|step| schedule.at(step)), [1.0, 2.0, 2.0, 1.0, 0.0]);
    }
}
