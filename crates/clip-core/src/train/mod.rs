//! Training: optimiser groups, schedule, and the step that joins model and loss.

mod optimizer;
mod run;
mod schedule;
mod session;
mod trainer;

pub use optimizer::{AdamWOptions, adamw};
pub use run::{Progress, Run, RunOptions};
pub use schedule::{Decay, Schedule};
pub use session::TrainingSession;
pub use trainer::{StepReport, Trainer};
