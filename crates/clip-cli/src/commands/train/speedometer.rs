//! Measures the mean duration of the last steps, and the share of it that waited for images.

use std::collections::VecDeque;
use std::time::Duration;

/// Steps that the mean is taken over: enough to be steady, few enough to show a change.
const WINDOW: usize = 10;

/// The durations of the last steps, and how long each waited.
#[derive(Debug, Default)]
pub(super) struct Speedometer {
    steps: VecDeque<(Duration, Duration)>,
}

impl Speedometer {
    /// Adds a step; returns the mean duration in seconds, and the share of it spent waiting.
    pub(super) fn add(&mut self, step: Duration, waited: Duration) -> (f64, f64) {
        self.steps.push_back((step, waited));
        if self.steps.len() > WINDOW {
            self.steps.pop_front();
        }
        let total: Duration = self.steps.iter().map(|step| step.0).sum();
        let waited: Duration = self.steps.iter().map(|step| step.1).sum();
        let seconds = total.as_secs_f64().max(f64::MIN_POSITIVE);
        (seconds / self.steps.len() as f64, waited.as_secs_f64() / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_steps_count() {
        let mut speed = Speedometer::default();
        speed.add(Duration::from_secs(100), Duration::from_secs(100));
        let second = Duration::from_secs(1);
        let last = (0..WINDOW).map(|_| speed.add(second, second / 4)).last().unwrap();
        assert_eq!(last, (1.0, 0.25));
    }
}
