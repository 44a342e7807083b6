//! Image–text pairs ready for the towers, and the order in which an epoch takes them.

mod dataset;

pub use dataset::{PairDataset, batches};
