//! Training: a session on one model, its runs, and the step that joins model, loss and optimiser.
//!
//! Each module uses only those above it: `ranges`, `options` (what a caller sets); `loss_scale`, `schedule`, `values`, `checkpointing`,
//! `features`, `ranks` and `exchange`; `muon`, `tuning`, `average`, `batch`, `state`; `optimizer`, `gradients`; `guard`; `trainer` (one step); `run`
//! (which step is next); `session` (what a caller sees). `scale` tells the memory, the exchanges and the time of a step in advance.

mod average;
mod batch;
mod checkpointing;
mod exchange;
mod features;
mod gradients;
mod guard;
mod loss_scale;
mod muon;
mod optimizer;
mod options;
mod ranges;
mod ranks;
mod run;
pub mod scale;
mod schedule;
mod self_test;
mod session;
mod state;
mod trainable;
mod trainer;
mod tuning;
mod values;

pub use batch::Batch;
pub use exchange::{Exchange, Operation, Traffic};
pub use gradients::LossOptions;
pub use loss_scale::LossScale;
pub use optimizer::Optimizer;
pub use options::{AdamWOptions, Decay, MuonOptions, OptimizerOptions, RunOptions, Tuning};
pub use ranks::{BUCKET, Collective, Ranks};
pub use run::{ImageRequest, Progress, Run};
pub use schedule::Schedule;
pub(crate) use self_test::loss_and_gradients;
pub use session::TrainingSession;
pub use trainer::{StepOptions, StepReport, Trainer};
