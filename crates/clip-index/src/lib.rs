//! Embeddings in memory, and exact search among them by cosine similarity.
//!
//! [`Rows`] holds unit vectors of one dimension, each in a slot: as f32, as f16 or as 8-bit integers ([`Storage`]). [`Rows::search`] reads
//! all of them. Knows no ids, metadata, files or web: its caller keeps those by slot.

mod block;
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

pub use error::{IndexError, Result, zeros};
pub use rows::Rows;
pub use search::Hits;
pub use storage::{Codec, Storage};
