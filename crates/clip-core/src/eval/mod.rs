//! Evaluation: retrieval, zero-shot classification, linear probes.

#[cfg(feature = "train")]
mod evaluate;
mod fit_probe;
#[cfg(feature = "train")]
mod groups;
mod lbfgs;
mod linear_probe;
mod retrieval;
mod zero_shot;

#[cfg(feature = "train")]
pub use evaluate::{Evaluation, Grouped, evaluate};
pub use linear_probe::LinearProbe;
pub use retrieval::{Recall, rank_of, recall};
pub use zero_shot::{Accuracy, accuracy, label_embeddings, probabilities};
