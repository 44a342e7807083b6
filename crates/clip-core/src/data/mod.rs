//! Image–text pairs ready for the towers, and the order in which an epoch takes them.

mod dataset;
mod embed;

pub use dataset::{PairDataset, batches};
pub use embed::{embed_captions, embed_images};
