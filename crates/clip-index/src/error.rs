//! The one error type of the crate. Each variant has a stable [`code`](IndexError::code), one of TypeScript's `ClipErrorCode`.

/// Errors that a caller can act on. Rows are counted from 0 within the call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// An option of a call outside its range.
    #[error("invalid option {option}: expected {expected}, got {got}")]
    InvalidOption {
        /// Name of the option.
        option: &'static str,
        /// Accepted values.
        expected: String,
        /// The value given.
        got: String,
    },
    /// Numbers that are not a whole number of vectors, or not as many as slots.
    #[error("shape mismatch: {what}: expected {expected}, got {got}")]
    ShapeMismatch {
        /// The argument whose length is wrong.
        what: &'static str,
        /// Expected length.
        expected: String,
        /// Length found.
        got: usize,
    },
    /// A vector without a direction: with NaN or an infinity, or of zeros alone.
    #[error("vector {row} has no direction: {reason}")]
    InvalidVector {
        /// Its number in the call.
        row: usize,
        /// Why it was refused.
        reason: &'static str,
    },
    /// Bytes that [`Codec::encode`](crate::Codec::encode) did not write.
    #[error("stored vector {row} is damaged: {reason}")]
    DamagedRow {
        /// Its number in the call.
        row: usize,
        /// Why it was refused.
        reason: &'static str,
    },
    /// A slot without a row.
    #[error("slot {slot} holds no vector: it was removed, or never filled")]
    EmptySlot {
        /// The slot.
        slot: u32,
    },
    /// Rows or results that do not fit into memory. Nothing was added.
    #[error("out of memory: cannot allocate {bytes} bytes for {what}; those already in memory are as they were")]
    OutOfMemory {
        /// What there was no memory for.
        what: &'static str,
        /// Bytes that could not be had.
        bytes: usize,
    },
}

impl IndexError {
    /// Stable name of the variant, as TypeScript sees it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidOption { .. } => "invalid-option",
            Self::ShapeMismatch { .. } => "shape-mismatch",
            Self::InvalidVector { .. } => "invalid-vector",
            Self::DamagedRow { .. } => "index-damaged",
            Self::EmptySlot { .. } => "invalid-option",
            Self::OutOfMemory { .. } => "out-of-memory",
        }
    }
}

/// Result of what takes a caller's input, or memory.
pub type Result<T> = core::result::Result<T, IndexError>;

/// An empty list with room for `count` values.
pub(crate) fn list<T>(what: &'static str, count: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err(IndexError::OutOfMemory { what, bytes: count.saturating_mul(size_of::<T>()) }),
    }
}

/// A list of `count` zeros.
pub fn zeros<T: Copy + Default>(what: &'static str, count: usize) -> Result<Vec<T>> {
    let mut values = list(what, count)?;
    values.resize(count, T::default());
    Ok(values)
}
