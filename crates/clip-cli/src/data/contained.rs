//! Keeps a panic in the decoder of one image from ending the program.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::exit::{Failure, Result};

/// Calls `work` on one image; a panic in it is an error of that image. What `work` borrows is only read, so that nothing is left
/// half-changed.
///
/// # Errors
/// Those of `work`; `undecodable-image` for a panic.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
        Err(Failure::new("undecodable-image", "the decoder of this image panicked, which is a bug: please report it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_its_image() {
        assert_eq!(contained(|| Ok(3)).unwrap(), 3);
        assert_eq!(contained(|| Err::<(), _>(Failure::dataset("no"))).unwrap_err().message, "no");
        let none: Vec<u8> = Vec::new();
        assert_eq!(contained(|| Ok(none[none.len()])).unwrap_err().code, "undecodable-image");
    }
}
