//! How well captions find their images, and images their captions.

mod evaluate;
mod linear_probe;
mod retrieval;
mod zero_shot;

pub use evaluate::{Evaluation, evaluate};
pub use linear_probe::LinearProbe;
pub use retrieval::{Recall, rank_of, recall};
pub use zero_shot::{label_embeddings, probabilities};
