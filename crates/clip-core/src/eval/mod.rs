//! How well captions find their images, and images their captions.

mod retrieval;

pub use retrieval::{Recall, rank_of, recall, top_k};
