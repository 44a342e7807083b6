//! Warnings about a run that goes wrong, while it can still be stopped: those of the package's `ts/train/training-monitor.ts`.

use std::collections::{HashMap, HashSet, VecDeque};

use clip_core::data::PairDataset;

use crate::events::StepEvent;

/// A stable name, and a message that says what is wrong and what to do.
pub(super) type Warning = (&'static str, String);

/// Steps to average over: a single loss says little.
const WINDOW: usize = 20;
/// Steps before which a loss may well be that of random guessing.
const PATIENCE: usize = 100;
/// `logitScale` is capped at ln 100.
const MARGIN: f64 = 1e-3;
/// Mean cosine of a batch's embeddings above which they have collapsed.
const ALIKE: f32 = 0.99;
/// Share of a batch's pairs with a duplicate caption above which to warn.
const MAX_DUPLICATES: f64 = 0.1;

/// How many pairs each caption has, by its tokens; only the first of several captions counts, as which one an epoch uses is not known.
#[derive(Debug, Default)]
pub(super) struct Captions {
    counts: Vec<usize>,
}

impl Captions {
    /// Counts those of a data set.
    pub(super) fn count(pairs: &PairDataset) -> Self {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for pair in 0..pairs.len() {
            *counts.entry(pairs.identities()[pairs.captions_of(pair).start]).or_default() += 1;
        }
        Self { counts: counts.into_values().collect() }
    }

    /// Expected share of a batch's pairs whose caption another pair of the batch has, too.
    fn duplicates(&self, batch_size: usize) -> f64 {
        let pairs = self.counts.iter().sum::<usize>() as f64;
        if pairs < 2.0 {
            return 0.0;
        }
        // each pair with the same caption is in the rest of the batch with that probability
        let chance = |count: f64| 1.0 - (1.0 - (count - 1.0) / (pairs - 1.0)).powf(batch_size as f64 - 1.0);
        self.counts.iter().map(|&count| count as f64 * chance(count as f64)).sum::<f64>() / pairs
    }
}

/// Watches a run step by step.
#[derive(Debug, Default)]
pub(super) struct TrainingMonitor {
    /// None where duplicates are masked, so that they need no warning.
    captions: Captions,
    given: HashSet<&'static str>,
    losses: VecDeque<f64>,
    best: Option<f64>,
    /// Steps in a row at the largest scale.
    capped: usize,
    /// Steps in a row whose embeddings of images, and of captions, were alike.
    alike: [usize; 2],
    steps: usize,
}

impl TrainingMonitor {
    /// Watches a run over pairs with these captions.
    pub(super) fn new(captions: Captions) -> Self {
        Self { captions, ..Self::default() }
    }

    /// Returns the warnings that this step gives rise to, each once a run.
    pub(super) fn look(&mut self, event: &StepEvent) -> Vec<Warning> {
        let &StepEvent { loss, logit_scale, batch_size, ref likeness, .. } = event;
        self.steps += 1;
        self.losses.push_back(loss.into());
        if self.losses.len() > WINDOW {
            self.losses.pop_front();
        }
        let run = |is: bool, before: usize| if is { before + 1 } else { 0 };
        self.capped = run(f64::from(logit_scale) >= 100f64.ln() - MARGIN, self.capped);
        self.alike = [run(likeness.image > ALIKE, self.alike[0]), run(likeness.text > ALIKE, self.alike[1])];
        let mut found = Vec::new();
        if self.steps == 1 {
            found.extend(self.duplicate_captions(batch_size));
        }
        if self.losses.len() == WINDOW {
            let recent = self.losses.iter().sum::<f64>() / WINDOW as f64;
            let best = self.best.map_or(recent, |best| best.min(recent));
            self.best = Some(best);
            found.extend(self.loss_stuck(recent, batch_size));
            found.extend(loss_rising(recent, best));
            found.extend(self.logit_scale_capped());
            found.extend(self.embeddings_alike());
        }
        found.retain(|(code, _)| self.given.insert(code));
        found
    }

    fn duplicate_captions(&self, batch_size: usize) -> Option<Warning> {
        let share = self.captions.duplicates(batch_size);
        let advice = "each counts as a negative of its own caption; set maskDuplicates to exclude them";
        let percent = 100.0 * share;
        let message = format!("{percent:.0} % of a batch's pairs share their caption with another pair: {advice}");
        (share > MAX_DUPLICATES).then_some(("duplicate-captions", message))
    }

    fn loss_stuck(&self, recent: f64, batch_size: usize) -> Option<Warning> {
        let guessing = (batch_size as f64).ln();
        let numbers = format!("{recent:.2} over {WINDOW} steps, ln {batch_size} = {guessing:.2}");
        let advice = "check that the captions belong to the images";
        let is_stuck = self.steps >= PATIENCE && (recent - guessing).abs() < 0.01 * guessing;
        is_stuck.then(|| ("loss-stuck", format!("the loss is that of random guessing ({numbers}): {advice}")))
    }

    fn logit_scale_capped(&self) -> Option<Warning> {
        let reason = "either the model separates the pairs as well as it can, or the learning rate is too high";
        let message = format!("logitScale has been at its maximum, ln 100, for {WINDOW} steps: {reason}");
        (self.capped >= WINDOW).then_some(("logit-scale-capped", message))
    }

    fn embeddings_alike(&self) -> Option<Warning> {
        let tower = ["image", "text"].into_iter().zip(self.alike).find(|(_, steps)| *steps >= WINDOW)?.0;
        let advice = "lower the learning rate, lengthen the warm-up or use larger batches";
        let message =
            format!("the {tower} embeddings of a batch have collapsed, with a mean cosine above {ALIKE}: {advice}");
        (self.steps >= PATIENCE).then_some(("embeddings-alike", message))
    }
}

fn loss_rising(recent: f64, best: f64) -> Option<Warning> {
    let numbers = format!("from {best:.2} to {recent:.2} over {WINDOW} steps");
    let message = format!("the loss has risen {numbers}: lower the learning rate or lengthen the warm-up");
    (recent > 1.5 * best && recent > best + 0.5).then_some(("loss-rising", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Likeness;

    fn step(loss: f32, logit_scale: f32, image: f32) -> StepEvent {
        StepEvent {
            step: 1,
            total_steps: 1000,
            epoch: 1,
            loss,
            lr: 1e-3,
            logit_scale,
            gradient_norm: 1.0,
            likeness: Likeness { image, text: 0.5 },
            batch_size: 64,
            samples_per_second: 1.0,
            seconds_left: 1.0,
            waiting: 0.0,
        }
    }

    /// Codes of the warnings, each with the number of its step.
    fn codes(captions: Vec<usize>, steps: impl IntoIterator<Item = StepEvent>) -> Vec<(usize, &'static str)> {
        let mut monitor = TrainingMonitor::new(Captions { counts: captions });
        let look = |(at, event): (usize, StepEvent)| {
            monitor.look(&event).into_iter().map(|(code, _)| (at + 1, code)).collect::<Vec<_>>()
        };
        steps.into_iter().enumerate().flat_map(look).collect()
    }

    #[test]
    fn each_fault_is_told_once_and_a_good_run_has_none() {
        let falling = (0..300).map(|i| step(4.0 - i as f32 / 100.0, 2.66, 0.5));
        assert_eq!(codes(vec![1; 500], falling), []);
        assert_eq!(codes(vec![250, 250], [step(4.0, 2.66, 0.5), step(4.0, 2.66, 0.5)]), [(1, "duplicate-captions")]);
        assert_eq!(codes(vec![], (0..200).map(|_| step(64f32.ln(), 2.66, 0.5))), [(100, "loss-stuck")]);
        let rising = (0..100).map(|i| step(if i < 50 { 1.0 } else { 3.0 }, 2.66, 0.5));
        // the mean of the last 20 is above 1.5 with 6 of them
        assert_eq!(codes(vec![], rising), [(56, "loss-rising")]);
        assert_eq!(codes(vec![], (0..50).map(|_| step(1.0, 4.605, 0.5))), [(20, "logit-scale-capped")]);
        assert_eq!(codes(vec![], (0..150).map(|_| step(1.0, 2.66, 0.995))), [(100, "embeddings-alike")]);
    }

    #[test]
    fn warnings_are_worded_as_the_packages() {
        let package = include_str!("../../../../../ts/train/training-monitor.ts");
        let own = include_str!("monitor.rs");
        let parts = own.split("#[cfg(test)]").next().unwrap().split('"').skip(1).step_by(2);
        // the texts between values
        let texts = parts.flat_map(|text| text.split(['{', '}'])).map(str::trim).filter(|text| text.len() > 8);
        let mut compared = 0;
        for text in texts.filter(|text| text.contains([' ', '-'])) {
            assert!(package.contains(text.trim_matches(['%', ':', ' ', '(', ')'])), "{text}");
            compared += 1;
        }
        assert!(compared > 12, "{compared}");
    }
}
