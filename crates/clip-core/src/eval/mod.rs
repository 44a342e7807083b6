//! How well captions find their images, and images their captions.

mod evaluate;
mod retrieval;

pub use evaluate::{Evaluation, evaluate};
pub use retrieval::{Recall, rank_of, recall, top_k};
