//! Time of a step.

use super::Workload;
use crate::data::batch_count;
use crate::train::exchange::{Exchange, Operation};

/// Bytes, of all ranks together, from which on MPI sends them in as many steps as there are other ranks, and not in their logarithm
/// (Thakur et al., 2005, section 4: MPICH's 512 kB).
const LONG: u64 = 512 * 1024;

/// What connects the ranks, as a message between two of them sees it: α + n β (R. W. Hockney, The communication challenge for MPP,
/// Parallel Computing 20, 1994). The ranks send at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// α, in seconds.
    pub latency: f64,
    /// 1 / β: bytes a second that each rank can send while all do.
    pub bandwidth: f64,
}

impl Link {
    /// Seconds of an exchange. Ranks meet before it, by a barrier of ⌈log₂ p⌉ messages. The exchange itself is that of R. Thakur,
    /// R. Rabenseifner and W. Gropp, Optimization of collective communication operations in MPICH, IJHPCA 19, 2005: short ones take
    /// ⌈log₂ p⌉ messages (recursive doubling and halving), long ones p − 1 (ring and pairwise exchange); both send the same bytes. The
    /// time of the additions is part of the bandwidth where that was measured by sums.
    pub fn seconds(self, exchange: Exchange, ranks: usize) -> f64 {
        if ranks < 2 {
            return 0.0;
        }
        let logarithm = (ranks as f64).log2().ceil();
        let total = match exchange.operation {
            Operation::AllGather => exchange.returned_bytes(ranks),
            Operation::ReduceScatter => exchange.handed_bytes(),
        };
        let messages = if total < LONG { logarithm } else { ranks as f64 - 1.0 };
        (logarithm + messages) * self.latency + exchange.sent_bytes(ranks) as f64 / self.bandwidth
    }

    /// Finds a link from the seconds of a short exchange and of long ones. `None` unless the long ones took longer.
    pub fn measured(short: (Exchange, f64), long: &[Exchange], seconds: f64, ranks: usize) -> Option<Self> {
        let unit = Self { latency: 1.0, bandwidth: f64::INFINITY };
        let latency = short.1 / unit.seconds(short.0, ranks);
        let waiting: f64 = long.iter().map(|&exchange| latency * unit.seconds(exchange, ranks)).sum();
        let bytes: u64 = long.iter().map(|exchange| exchange.sent_bytes(ranks)).sum();
        let bandwidth = bytes as f64 / (seconds - waiting);
        (latency > 0.0 && bandwidth.is_finite() && bandwidth > 0.0).then_some(Self { latency, bandwidth })
    }
}

/// How fast one device computes a step: a time that each step has, and a time an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Seconds of a step without pairs, as for the update of the weights.
    pub fixed: f64,
    /// Seconds of an operation.
    pub per_flop: f64,
}

impl Speed {
    /// The line nearest to measured steps, given as operations and seconds. With one step, or where larger steps show no time that all
    /// have, all of the time is the operations'. `None` without a step that took time.
    pub fn measured(steps: &[(f64, f64)]) -> Option<Self> {
        let count = steps.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| steps.iter().map(of).sum::<f64>() / count;
        let (flops, seconds) = (mean(|step| step.0), mean(|step| step.1));
        if !(flops > 0.0 && seconds > 0.0 && seconds.is_finite()) {
            return None;
        }
        let proportional = Self { fixed: 0.0, per_flop: seconds / flops };
        let spread: f64 = steps.iter().map(|step| (step.0 - flops).powi(2)).sum();
        if spread <= (1e-6 * flops).powi(2) {
            return Some(proportional);
        }
        let per_flop = steps.iter().map(|step| (step.0 - flops) * (step.1 - seconds)).sum::<f64>() / spread;
        let fixed = seconds - per_flop * flops;
        Some(if per_flop > 0.0 && fixed > 0.0 { Self { fixed, per_flop } } else { proportional })
    }

    /// Seconds of so many operations.
    pub fn seconds(self, flops: f64) -> f64 {
        self.fixed + self.per_flop * flops
    }
}

impl Workload {
    /// Seconds that a rank spends in exchanges of a step.
    pub fn exchange_seconds(&self, exchanges: &[Exchange], link: Link) -> f64 {
        exchanges.iter().map(|&exchange| link.seconds(exchange, self.ranks)).sum()
    }

    /// Bytes of a step that are copied between a device with memory of its own and its host, where the exchanges are made.
    pub fn copied_bytes(&self, exchanges: &[Exchange]) -> u64 {
        exchanges.iter().map(|exchange| exchange.handed_bytes() + exchange.returned_bytes(self.ranks)).sum()
    }

    /// Steps of a run over so many pairs: whole batches, as the run takes them.
    pub fn steps(&self, pairs: usize) -> u64 {
        batch_count(pairs, self.options.batch_size) as u64 * self.options.epochs as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link { latency: 1e-5, bandwidth: 1e9 };

    fn near(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 1e-9, "{got} {expected}");
    }

    #[test]
    fn an_exchange_costs_latency_and_bandwidth() {
        // a barrier and three steps of recursive doubling, of 4, 8 and 16 bytes
        near(LINK.seconds(Exchange::all_gather(1), 8), 6e-5 + 28e-9);
        // a barrier and a ring
        near(LINK.seconds(Exchange::all_gather(1_000_000), 8), 10e-5 + 28e-3);
        near(LINK.seconds(Exchange::reduce_scatter(8_000_000), 8), 10e-5 + 28e-3);
        assert_eq!(LINK.seconds(Exchange::all_gather(1), 1), 0.0);
    }

    #[test]
    fn a_link_is_found_from_its_times() {
        for ranks in [2, 3, 8] {
            let short = Exchange::all_gather(1);
            let long = [Exchange::reduce_scatter(4_800_000), Exchange::all_gather(4_800_000 / ranks)];
            let seconds = long.iter().map(|&exchange| LINK.seconds(exchange, ranks)).sum();
            let found = Link::measured((short, LINK.seconds(short, ranks)), &long, seconds, ranks).unwrap();
            assert!((found.latency / LINK.latency - 1.0).abs() < 1e-2, "{found:?}");
            assert!((found.bandwidth / LINK.bandwidth - 1.0).abs() < 1e-2, "{found:?}");
        }
        let (short, long) = (Exchange::all_gather(1), [Exchange::all_gather(9)]);
        assert_eq!(Link::measured((short, 1.0), &long, 0.5, 2), None);
    }

    #[test]
    fn steps_of_two_sizes_show_what_all_steps_take() {
        let speed = Speed::measured(&[(10.0, 3.0), (20.0, 5.0)]).unwrap();
        near(speed.fixed, 1.0);
        near(speed.seconds(40.0), 9.0);
        assert_eq!(Speed::measured(&[(10.0, 5.0)]), Some(Speed { fixed: 0.0, per_flop: 0.5 }));
        // noise: no time is below 0
        assert_eq!(Speed::measured(&[(10.0, 5.0), (20.0, 11.0)]).unwrap().fixed, 0.0);
        assert_eq!((Speed::measured(&[]), Speed::measured(&[(1.0, 0.0)])), (None, None));
    }
}
