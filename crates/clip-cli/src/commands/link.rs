//! Latency and bandwidth between the processes of a run, as the run itself sees them.

use std::time::Instant;

use clip_core::train::scale::Link;
use clip_core::train::{BUCKET, Exchange, Ranks};
use serde::{Deserialize, Serialize};

use super::bench::median;
use crate::exit::{Failure, Result};
use crate::output::{Output, size};
use crate::ranks::Processes;

/// Repetitions of an exchange of one number, and of a sum of a bucket.
const REPEAT: [usize; 2] = [500, 15];

/// What `bench --link` measures.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "link")]
pub(super) struct LinkEvent {
    /// Number of processes.
    ranks: usize,
    /// Seconds until a message arrives.
    pub(super) latency_seconds: f64,
    /// Bytes a second that each process sends while all do, additions included.
    pub(super) bytes_per_second: f64,
}

/// Median seconds of repetitions, after some that are not measured.
fn seconds(repeat: usize, mut work: impl FnMut()) -> f64 {
    for _ in 0..repeat / 5 + 1 {
        work();
    }
    let once = |_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    };
    median(&(0..repeat).map(once).collect::<Vec<_>>())
}

fn measure(ranks: &Ranks, output: &Output) -> Result<()> {
    let count = ranks.size();
    if count < 2 {
        return Err(Failure::option("link", "several processes, as of mpirun -n 2 clipwright bench --link", "one"));
    }
    let [short, long] = REPEAT;
    let short = (Exchange::all_gather(1), seconds(short, || drop(ranks.gather(vec![1.0]))));
    // made anew each time, as a step reads them from its device
    let long = seconds(long, || drop(ranks.sum(vec![1.0; BUCKET])));
    let link = Link::measured(short, &Exchange::sum(BUCKET, count), long, count)
        .ok_or_else(|| Failure::new("unexpected", "25 MB took no longer than 4 bytes: measure again"))?;
    let Link { latency, bandwidth } = link;
    output.event(&LinkEvent { ranks: count, latency_seconds: latency, bytes_per_second: bandwidth });
    let speed = size(bandwidth as u64);
    output.result(&format!("{count} processes: latency {:.1} µs, bandwidth {speed}/s a process", 1e6 * latency));
    Ok(())
}

/// Measures the link of the processes that a launcher started.
///
/// # Errors
/// `invalid-option` for one process; `no-mpi`.
pub(super) fn run(output: &Output) -> Result<()> {
    let processes = Processes::join(output)?;
    let result = measure(&processes.ranks, output);
    processes.leave(result, output)
}
