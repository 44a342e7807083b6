//! Learning rate of each step.

use super::options::Decay;
use super::ranges::positive;
use crate::error::Result;

/// Linear warm-up, then `decay`:
/// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip_train/scheduler.py>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub base: f64,
    /// Steps of the warm-up.
    pub warmup: usize,
    /// Steps in total.
    pub total: usize,
    /// Schedule after the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// # Errors
    /// `invalid-option` for a rate that is not a normal single-precision number above 0.
    pub fn new(base: f64, warmup: usize, total: usize, decay: Decay) -> Result<Self> {
        positive("lr", base)?;
        Ok(Self { base, warmup, total, decay })
    }

    /// Returns the rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.base * (step + 1) as f64 / self.warmup as f64;
        }
        match self.decay {
            Decay::Constant => self.base,
            Decay::Linear => (1.0 - self.progress(step)) * self.base,
            Decay::Cosine => 0.5 * (1.0 + (core::f64::consts::PI * self.progress(step)).cos()) * self.base,
        }
    }

    /// Returns the share of the steps after the warm-up that are done before `step`.
    fn progress(&self, step: usize) -> f64 {
        // 1 at least: the warm-up may be as long as the run
        let span = self.total.saturating_sub(self.warmup).max(1);
        (step - self.warmup).min(span) as f64 / span as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_outside_single_precision_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1e-3, 1e39, 1e-39, 1e-300] {
            assert_eq!(Schedule::new(bad, 0, 1, Decay::Cosine).unwrap_err().code(), "invalid-option");
        }
    }

    #[test]
    fn rates_are_finite_when_the_warm_up_is_longer_than_the_run() {
        let schedule = Schedule::new(1.0, 10, 5, Decay::Cosine).unwrap();
        assert!((0..20).all(|step| schedule.at(step).is_finite()));
    }

    #[test]
    fn linear_decay_ends_at_zero() {
        let schedule = Schedule::new(2.0, 2, 10, Decay::Linear).unwrap();
        assert_eq!([0, 1, 2, 6, 10].map(|step| schedule.at(step)), [1.0, 2.0, 2.0, 1.0, 0.0]);
    }
}
