//! Signals that end the program: Ctrl-C, SIGTERM, SIGUSR1, SIGHUP. The first asks for an orderly end, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::{Failure, Result};

/// The signals listened to, and the codes of the failures that they end in.
const SIGNALS: &[(i32, &str)] = &[
    (SIGINT, "interrupted"),
    (SIGTERM, "terminated"),
    #[cfg(unix)]
    (SIGHUP, "hung-up"),
    // what mpirun passes on to its processes, and SLURM can send before a job's time is over
    #[cfg(unix)]
    (SIGUSR1, "asked-to-stop"),
];

/// The signals that ask a program to end.
#[derive(Debug, Clone)]
pub struct Interrupts {
    /// The signal that came; 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Listens to the signals from now on.
    ///
    /// # Errors
    /// `unexpected` where the system refuses.
    pub fn listen() -> Result<Self> {
        let (signal, came) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for &(number, _) in SIGNALS {
            // in this order: the first signal finds `came` unset
            flag::register_conditional_shutdown(number, 128 + number, came.clone())
                .and_then(|_| flag::register(number, came.clone()))
                .and_then(|_| flag::register_usize(number, signal.clone(), number as usize))
                .map_err(|error| Failure::new("unexpected", format!("cannot listen to signals: {error}")))?;
        }
        Ok(Self { signal })
    }

    /// Whether a signal came.
    pub fn came(&self) -> bool {
        self.signal() != 0
    }

    /// The signal that came; 0 for none.
    pub fn signal(&self) -> usize {
        self.signal.load(Ordering::Relaxed)
    }

    /// Notes a signal that came to another process of the run; 0 for none.
    pub fn note(&self, signal: usize) {
        if signal != 0 {
            self.signal.store(signal, Ordering::Relaxed);
        }
    }

    /// The failure that a program ends with after the signal.
    pub fn failure(&self, message: impl Into<String>) -> Failure {
        let came = self.signal();
        let code =
            SIGNALS.iter().find(|&&(number, _)| number as usize == came).map_or("interrupted", |&(_, code)| code);
        Failure::new(code, message)
    }
}
