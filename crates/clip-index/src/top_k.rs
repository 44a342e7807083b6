//! The best of many scores.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::element::{Scores, bits};
use crate::error::{Result, list};

/// A row and its score, in the order of a ranking: the best is the least. Of equal scores, that of the lower slot is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) slot: u32,
    pub(crate) score: f32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // scores of rows and queries that were checked are numbers
        let by_score = other.score.partial_cmp(&self.score).unwrap_or(Ordering::Equal);
        by_score.then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best candidates of those offered so far, in the order of their slots.
pub(crate) struct TopK {
    k: usize,
    /// The worst on top.
    best: BinaryHeap<Candidate>,
    /// What a score must exceed.
    threshold: f32,
}

impl TopK {
    /// Keeps `k`, at least 1.
    pub(crate) fn new(k: usize) -> Result<Self> {
        Ok(Self { k, best: list("hits", k)?.into(), threshold: f32::NEG_INFINITY })
    }

    /// Offers the rows of a group whose bit in `mask` is set.
    pub(crate) fn offer(&mut self, first_slot: u32, mask: u64, scores: &Scores) {
        for i in bits(mask) {
            if scores[i] > self.threshold {
                self.insert(Candidate { slot: first_slot + i as u32, score: scores[i] });
            }
        }
    }

    #[cold]
    fn insert(&mut self, candidate: Candidate) {
        if self.best.len() < self.k {
            self.best.push(candidate);
        } else if let Some(mut worst) = self.best.peek_mut() {
            *worst = candidate;
        }
        if self.best.len() == self.k
            && let Some(worst) = self.best.peek()
        {
            self.threshold = worst.score;
        }
    }

    /// The best first.
    pub(crate) fn into_sorted(self) -> Vec<Candidate> {
        self.best.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::GROUP;

    #[test]
    fn the_best_are_kept_and_among_equals_those_offered_first() {
        let mut scores = [0.0; GROUP];
        scores[3..8].copy_from_slice(&[0.5, 0.25, 0.5, -1.0, 0.5]);
        let best = |k, mask| {
            let mut best = TopK::new(k).unwrap();
            best.offer(64, mask, &scores);
            best.offer(128, mask, &scores);
            best.into_sorted().into_iter().map(|Candidate { slot, score }| (slot, score)).collect::<Vec<_>>()
        };
        let halves = [(67, 0.5), (69, 0.5), (71, 0.5), (131, 0.5), (133, 0.5), (135, 0.5)];
        assert_eq!(best(6, u64::MAX), halves);
        assert_eq!(best(2, u64::MAX), halves[..2]);
        assert_eq!(best(3, 0b101_0000), [(68, 0.25), (132, 0.25), (70, -1.0)]);
        assert_eq!((best(100, u64::MAX).len(), best(200, u64::MAX).len()), (100, 128));
    }
}
