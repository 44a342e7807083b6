//! MPI, by the `mpi` crate. A fault of MPI itself ends all processes with MPI's own message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clip_core::train::{Collective, Ranks};
use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, SystemOperation};
use mpi::environment::{Universe, initialize_with_threading, library_version, processor_name};
use mpi::topology::{Communicator, SimpleCommunicator};

use super::OnMachine;
use super::launched::Launched;
use super::watch::Watch;
use crate::exit::{Failure, Result};
use crate::output::Output;

/// How long a rank busy-waits for the others.
const EAGER: Duration = Duration::from_millis(20);
/// Pause between polls after that.
const SLEEP: Duration = Duration::from_micros(200);
/// Time that a launcher needs to pass on what was written: it may drop the output of processes that it ends.
pub(super) const PASSED_ON: Duration = Duration::from_millis(100);
/// Time that the first rank has to say why all fail, before another one says why it does.
const FIRST_SPEAKS: Duration = Duration::from_secs(1);

/// All processes.
struct World;

impl World {
    fn communicator() -> SimpleCommunicator {
        SimpleCommunicator::world()
    }

    /// Waits until all are here: ranks that are early, as while the first one evaluates, do not take its cores.
    fn meet() {
        let mut request = Self::communicator().immediate_barrier();
        let began = Instant::now();
        while let Err(pending) = request.test() {
            request = pending;
            if began.elapsed() < EAGER { std::thread::yield_now() } else { std::thread::sleep(SLEEP) }
        }
    }
}

impl Collective for World {
    fn size(&self) -> usize {
        Self::communicator().size() as usize
    }

    fn rank(&self) -> usize {
        Self::communicator().rank() as usize
    }

    fn all_gather(&self, own: &[f32]) -> Vec<f32> {
        Self::meet();
        let mut all = vec![0.0; own.len() * self.size()];
        Self::communicator().all_gather_into(own, &mut all[..]);
        all
    }

    fn reduce_scatter(&self, values: &[f32]) -> Vec<f32> {
        Self::meet();
        let mut sums = vec![0.0; values.len() / self.size()];
        Self::communicator().reduce_scatter_block_into(values, &mut sums[..], SystemOperation::sum());
        sums
    }
}

fn ranks() -> Ranks {
    Ranks::new(Arc::new(World))
}

/// MPI from its beginning to its end, which is where this is dropped.
pub(super) struct Mpi {
    watch: Watch,
    _universe: Universe,
}

impl Mpi {
    /// Begins, and watches the other processes of this host.
    ///
    /// # Errors
    /// `no-mpi` where the launcher belongs to another MPI.
    pub(super) fn begin(launched: &Launched, json: bool) -> Result<Self> {
        // one thread calls it
        let (universe, _) = initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| Failure::new("no-mpi", "MPI cannot be started twice in a process"))?;
        let size = World.size();
        if size != launched.size {
            let library = library_version().unwrap_or_default();
            let message = format!(
                "started as one of {} processes {}, of which MPI joined {size}: the launcher must be that of {}; with SLURM, see \
                 srun --mpi=list",
                launched.size,
                launched.by,
                library.lines().next().unwrap_or("the MPI that the program was built with")
            );
            return Err(Failure::new("no-mpi", message));
        }
        let host = processor_name().unwrap_or_default();
        Ok(Self { watch: Watch::begin(&ranks(), host, json), _universe: universe })
    }

    /// All processes.
    pub(super) fn ranks(&self) -> Ranks {
        ranks()
    }

    /// Where this one is among those of its machine; all call it at once.
    pub(super) fn on_machine(&self) -> OnMachine {
        let neighbours = World::communicator().split_shared(World.rank() as i32);
        OnMachine { index: neighbours.rank() as usize, count: neighbours.size() as usize }
    }

    /// Name of this host.
    pub(super) fn host(&self) -> String {
        processor_name().unwrap_or_default()
    }

    /// Says why all end, and waits until all leave.
    pub(super) fn leave(&self, failure: Option<&Failure>, output: &Output) {
        self.watch.end();
        if let Some(failure) = failure {
            say(failure, output);
        }
        World::meet();
    }

    /// Ends all processes for a failure of this one.
    pub(super) fn fail(&self, failure: &Failure, output: &Output) -> ! {
        let rank = World.rank();
        if rank > 0 {
            // where all fail alike, the first rank says it and ends them
            std::thread::sleep(FIRST_SPEAKS);
        }
        self.watch.say();
        output.mute(false);
        let message = if rank > 0 { format!("rank {rank}: {}", failure.message) } else { failure.message.clone() };
        say(&Failure::new(failure.code, message), output);
        World::communicator().abort(failure.exit_code().into())
    }
}

/// Says why this process ends: now, as the launcher ends the others as soon as one has ended.
fn say(failure: &Failure, output: &Output) {
    output.failure(failure);
    output.mute(true);
    std::thread::sleep(PASSED_ON);
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // the others wait for a rank that does not come: an orderly end would wait for them
        if std::thread::panicking() {
            World::communicator().abort(101);
        }
    }
}
