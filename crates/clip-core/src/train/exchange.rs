//! Exchanges of numbers between ranks, and what they move.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::ranks::Collective;

/// Bytes of a number.
const NUMBER: u64 = 4;

/// Operation of a [`Collective`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// [`Collective::all_gather`]
    AllGather,
    /// [`Collective::reduce_scatter`]
    ReduceScatter,
}

/// One call of a [`Collective`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// The operation.
    pub operation: Operation,
    /// Numbers that each rank hands over.
    pub numbers: usize,
}

impl Exchange {
    /// An all-gather of so many numbers a rank.
    pub fn all_gather(numbers: usize) -> Self {
        Self { operation: Operation::AllGather, numbers }
    }

    /// A reduce-scatter of so many numbers a rank.
    pub fn reduce_scatter(numbers: usize) -> Self {
        Self { operation: Operation::ReduceScatter, numbers }
    }

    /// The two exchanges of a sum over the ranks: each makes a share of the sums, of numbers that are padded to equal shares.
    pub fn sum(numbers: usize, ranks: usize) -> [Self; 2] {
        let padded = numbers.next_multiple_of(ranks);
        [Self::reduce_scatter(padded), Self::all_gather(padded / ranks)]
    }

    /// Bytes that a rank hands over.
    pub fn handed_bytes(self) -> u64 {
        NUMBER * self.numbers as u64
    }

    /// Bytes that a rank gets back.
    pub fn returned_bytes(self, ranks: usize) -> u64 {
        match self.operation {
            Operation::AllGather => self.handed_bytes() * ranks as u64,
            Operation::ReduceScatter => self.handed_bytes() / ranks as u64,
        }
    }

    /// Bytes that a rank sends to others, which is the least possible: its values to each other rank, or a share of its values for each
    /// (Thakur et al., 2005, sections 4.1 and 4.2).
    pub fn sent_bytes(self, ranks: usize) -> u64 {
        let others = ranks as u64 - 1;
        match self.operation {
            Operation::AllGather => others * self.handed_bytes(),
            Operation::ReduceScatter => others * self.handed_bytes() / ranks as u64,
        }
    }
}

/// What one rank exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Number of exchanges.
    pub exchanges: u64,
    /// Bytes handed to the collective.
    pub handed_bytes: u64,
    /// Bytes of them that other ranks need: see [`Exchange::sent_bytes`].
    pub sent_bytes: u64,
}

impl Traffic {
    /// Traffic of some exchanges.
    pub fn of(exchanges: &[Exchange], ranks: usize) -> Self {
        let mut traffic = Self::default();
        exchanges.iter().for_each(|&exchange| traffic.add(exchange, ranks));
        traffic
    }

    fn add(&mut self, exchange: Exchange, ranks: usize) {
        self.exchanges += 1;
        self.handed_bytes += exchange.handed_bytes();
        self.sent_bytes += exchange.sent_bytes(ranks);
    }

    /// The part of it that is not in an earlier count.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            exchanges: self.exchanges - earlier.exchanges,
            handed_bytes: self.handed_bytes - earlier.handed_bytes,
            sent_bytes: self.sent_bytes - earlier.sent_bytes,
        }
    }
}

/// A collective that counts what it is handed.
pub(super) struct Counted {
    inner: Arc<dyn Collective>,
    traffic: Mutex<Traffic>,
}

impl Counted {
    pub(super) fn new(inner: Arc<dyn Collective>) -> Self {
        Self { inner, traffic: Mutex::default() }
    }

    pub(super) fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, exchange: Exchange) {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).add(exchange, self.size());
    }
}

impl Collective for Counted {
    fn size(&self) -> usize {
        self.inner.size()
    }

    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn all_gather(&self, own: &[f32]) -> Vec<f32> {
        self.count(Exchange::all_gather(own.len()));
        self.inner.all_gather(own)
    }

    fn reduce_scatter(&self, values: &[f32]) -> Vec<f32> {
        self.count(Exchange::reduce_scatter(values.len()));
        self.inner.reduce_scatter(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_all_reduce_sends_what_a_ring_does() {
        // 2 (p - 1) / p · n
        let sum = [Exchange::reduce_scatter(1000), Exchange::all_gather(250)];
        let expected = Traffic { exchanges: 2, handed_bytes: 5000, sent_bytes: 2 * 3 * 1000 };
        assert_eq!(Traffic::of(&sum, 4), expected);
        assert_eq!(sum.map(|exchange| exchange.returned_bytes(4)), [1000, 4000]);
        assert_eq!(Traffic::of(&sum, 4).since(Traffic::of(&sum[..1], 4)).exchanges, 1);
    }
}
