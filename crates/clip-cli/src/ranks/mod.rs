//! The processes of one run that a launcher of MPI started: `mpirun`, SLURM's `srun`, Kubernetes' MPI Operator.

mod agreement;
mod devices;
mod launched;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "mpi")]
mod watch;

use std::cell::Cell;

use clip_core::train::{Exchange, Ranks};

use self::launched::{Launched, launched};
#[cfg(not(feature = "mpi"))]
use crate::exit::Failure;
use crate::exit::Result;
use crate::interrupt::Interrupts;
use crate::output::Output;

/// A process among those of the same run on its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnMachine {
    /// Its number, from 0.
    pub index: usize,
    /// How many they are.
    pub count: usize,
}

impl Default for OnMachine {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

/// The processes that train together; without a launcher, this one alone.
pub struct Processes {
    /// How they exchange numbers.
    pub ranks: Ranks,
    /// Whether all end for the same reason.
    agreed: Cell<bool>,
    #[cfg(feature = "mpi")]
    mpi: Option<mpi::Mpi>,
}

impl Processes {
    /// Joins the processes that were started together with this one.
    ///
    /// # Errors
    /// `no-mpi` if there are others, and no way to exchange numbers with them.
    pub fn join(output: &Output) -> Result<Self> {
        match launched(|name| std::env::var(name).ok()) {
            Some(launched) => Self::of(&launched, output),
            None => Ok(Self::alone()),
        }
    }

    fn alone() -> Self {
        Self {
            ranks: Ranks::default(),
            agreed: Cell::new(false),
            #[cfg(feature = "mpi")]
            mpi: None,
        }
    }

    #[cfg(not(feature = "mpi"))]
    fn of(launched: &Launched, _output: &Output) -> Result<Self> {
        let message = format!(
            "started as one of {} processes ({}), which this program cannot join: build it with --features mpi, or start one \
             process",
            launched.size, launched.by
        );
        Err(Failure::new("no-mpi", message))
    }

    #[cfg(feature = "mpi")]
    fn of(launched: &Launched, output: &Output) -> Result<Self> {
        let mpi = mpi::Mpi::begin(launched, output.is_json())?;
        let processes = Self { ranks: mpi.ranks(), mpi: Some(mpi), ..Self::alone() };
        if !processes.is_first() {
            // the first one speaks for all
            output.mute(true);
        }
        Ok(processes)
    }

    /// Whether this one writes logs and states.
    pub fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Where this one is among those of its machine; all call it at once.
    pub fn on_machine(&self) -> OnMachine {
        #[cfg(feature = "mpi")]
        return self.mpi.as_ref().map_or_else(OnMachine::default, mpi::Mpi::on_machine);
        #[cfg(not(feature = "mpi"))]
        OnMachine::default()
    }

    /// Compares the GPUs of all, which call it at once: what slows them down. Empty for the CPU.
    pub fn compare_devices(&self, gpu: &str) -> Option<String> {
        if self.ranks.size() == 1 {
            return None;
        }
        #[cfg(feature = "mpi")]
        let host = self.mpi.as_ref().map_or_else(String::new, mpi::Mpi::host);
        #[cfg(not(feature = "mpi"))]
        let host = String::new();
        let own = if gpu.is_empty() { String::new() } else { format!("{gpu}, on {host}") };
        devices::warning(&agreement::gather_texts(&self.ranks, &own))
    }

    /// What [`interrupted`](Self::interrupted) exchanges, before each step.
    pub fn signals() -> Exchange {
        Exchange::all_gather(1)
    }

    /// Whether a signal came to any of them: all end at the same step.
    pub fn interrupted(&self, interrupts: &Interrupts) -> bool {
        let signals = self.ranks.gather(vec![interrupts.signal() as f32]);
        let signal = signals.into_iter().fold(0.0, f32::max) as usize;
        interrupts.note(signal);
        self.agreed.set(signal != 0);
        // not whether one came: it may have come after the others were asked
        signal != 0
    }

    /// Checks that facts are the same on all, each given with its name.
    ///
    /// # Errors
    /// `other-ranks`.
    pub fn check_same(&self, facts: &[(&str, String)]) -> Result<()> {
        let checked = agreement::check_same(&self.ranks, facts);
        self.agreed.set(checked.is_err());
        checked
    }

    /// Leaves the others at the end of a command. After a failure that is not theirs, too, it says why and ends them.
    ///
    /// # Errors
    /// The failure of the command.
    pub fn leave(&self, result: Result<()>, output: &Output) -> Result<()> {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            match &result {
                Err(failure) if !self.agreed.get() => mpi.fail(failure, output),
                _ => mpi.leave(result.as_ref().err(), output),
            }
        }
        let _ = output;
        result
    }
}
