//! Training: optimiser groups, schedule, and the step that joins model and loss.

mod average;
mod batch;
mod checkpointing;
mod features;
mod gradients;
mod guard;
mod loss_scale;
mod muon;
mod optimizer;
mod run;
mod schedule;
mod self_test;
mod session;
mod state;
mod trainable;
mod trainer;
mod tuning;
mod values;

pub use batch::Batch;
pub use gradients::LossOptions;
pub use loss_scale::LossScale;
pub use muon::MuonOptions;
pub use optimizer::{AdamWOptions, Optimizer, OptimizerOptions};
pub use run::{Progress, Run, RunOptions, Wanted};
pub use schedule::{Decay, Schedule};
pub(crate) use self_test::loss_and_gradients;
pub use session::TrainingSession;
pub use trainer::{StepOptions, StepReport, Trainer};
pub use tuning::Tuning;
