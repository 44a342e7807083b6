//! The Wasm module: clip-wasm, linked.
//!
//! A crate of its own, because link-time optimisation takes its level from the crate that is linked, and the kernels need the highest,
//! which would make all of clip-wasm large.

pub use clip_wasm::*;
