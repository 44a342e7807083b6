//! Embeddings in memory, and exact search among them by cosine similarity.
//!
//! [`Rows`] holds unit vectors of one dimension, each in a slot: as f32, as f16 or as 8-bit integers ([`Storage`]). [`Rows::search`] finds
//! the rows nearest to some queries, [`Duplicates`] groups of near-duplicates, [`Clusters`] is k-means. The last two go on in steps, so that
//! their caller can show progress, and end early.
//!
//! Knows no ids, metadata, files or web: its caller keeps those by slot.

mod block;
mod clusters;
mod duplicates;
mod element;
mod error;
mod kernels;
mod rows;
mod search;
mod storage;
mod table;
#[cfg(test)]
mod testing;
mod top_k;

pub use clusters::{Clustering, Clusters};
pub use duplicates::{Duplicates, Groups};
pub use error::{IndexError, Result, zeros};
pub use rows::Rows;
pub use search::Hits;
pub use storage::{Codec, Storage};
