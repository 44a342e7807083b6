//! Training: optimiser groups, schedule, and the step that joins model and loss.

mod optimizer;
mod schedule;
mod trainer;

pub use optimizer::{AdamWOptions, adamw};
pub use schedule::{Decay, Schedule};
pub use trainer::{StepReport, Trainer};
