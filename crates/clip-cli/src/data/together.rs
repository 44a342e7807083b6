//! Does the same for many files on servers at a time: they are far away, and answer many at once.

use std::sync::OnceLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::exit::{Failure, Result};

/// Files that are read at the same time.
pub(super) const CONNECTIONS: usize = 32;

/// Calls `each` with all items; the results are in their order.
///
/// # Errors
/// `unexpected` where the system does not start threads.
pub(super) fn together<T: Send, U: Send>(all: Vec<T>, each: impl Fn(T) -> U + Send + Sync) -> Result<Vec<U>> {
    static POOL: OnceLock<core::result::Result<ThreadPool, String>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let builder = ThreadPoolBuilder::new().num_threads(CONNECTIONS).thread_name(|i| format!("transfer {i}"));
        builder.build().map_err(|error| error.to_string())
    });
    let pool = pool.as_ref().map_err(Failure::no_threads)?;
    Ok(pool.install(|| all.into_par_iter().with_max_len(1).map(each).collect()))
}
