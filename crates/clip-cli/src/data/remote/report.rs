//! Tells the user of transfers that are tried again.

use std::sync::{Arc, PoisonError, RwLock};

use crate::output::Output;

static OUTPUT: RwLock<Option<Arc<Output>>> = RwLock::new(None);

/// Where retries are reported from now on.
pub fn report_retries(output: &Arc<Output>) {
    *OUTPUT.write().unwrap_or_else(PoisonError::into_inner) = Some(output.clone());
}

/// Reports a retry.
pub(super) fn report(message: &str) {
    if let Some(output) = &*OUTPUT.read().unwrap_or_else(PoisonError::into_inner) {
        output.warn(None, message);
    }
}
