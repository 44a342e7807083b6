//! Regular expressions of this program, which are valid.

/// A pattern for text.
///
/// # Panics
/// For an invalid pattern: a bug.
pub(crate) fn pattern(text: &str) -> regex::Regex {
    regex::Regex::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A pattern for bytes.
///
/// # Panics
/// For an invalid pattern: a bug.
pub(crate) fn bytes_pattern(text: &str) -> regex::bytes::Regex {
    regex::bytes::Regex::new(text).unwrap_or_else(|error| panic!("{error}"))
}
