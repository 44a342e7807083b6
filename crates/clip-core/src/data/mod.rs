//! Image–text pairs in memory, their batches and their embeddings.

mod dataset;
mod embed;

pub use dataset::{PairDataset, PreparedPair, batch_count, batches};
pub use embed::{embed_captions, embed_images};
