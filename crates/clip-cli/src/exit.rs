//! Failures of the program, and the exit codes that they end it with.

use clip_core::ClipError;

use crate::secrets::without_secrets;

/// An error with a stable code, which is that of the same error in TypeScript: docs/guide/errors.md.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable name of the kind of error.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether the same may succeed later: a server that does not answer.
    pub passes: bool,
}

/// Result of everything that can fail.
pub type Result<T> = core::result::Result<T, Failure>;

/// Exit codes, what each means, and the error codes that lead to it. Those from 130 on are 128 and the number of the signal, as shells
/// have it.
pub const EXIT_CODES: &[(u8, &str, &[&str])] = &[
    (0, "done", &[]),
    (1, "an error without a code of its own", &["unexpected"]),
    (2, "wrong usage: an unknown flag, an option out of its range", &["invalid-option", "no-run", "no-adapter"]),
    (3, "a config file that cannot be used", &["invalid-config"]),
    (
        4,
        "a checkpoint that cannot be used",
        &[
            "invalid-checkpoint",
            "invalid-tokenizer",
            "missing-tensor",
            "extra-tensor",
            "missing-tower",
            "shape-mismatch",
            "token-out-of-range",
        ],
    ),
    (
        5,
        "pairs that cannot be used, or other pairs than those of the run to resume",
        &[
            "invalid-dataset",
            "undecodable-image",
            "image-too-large",
            "image-too-small",
            "caption-too-long",
            "empty-batch",
            "batch-too-small",
            "count-mismatch",
            "other-pairs",
        ],
    ),
    (6, "a file or folder that is missing or cannot be read", &["invalid-source", "source-unreadable"]),
    (7, "a file that exists already or cannot be written, as on a full disk", &["target-unwritable"]),
    (
        8,
        "a device that is missing, out of memory or failing",
        &["device-unavailable", "device-failed", "out-of-memory"],
    ),
    (9, "training that diverged", &["loss-not-finite"]),
    (10, "settings that differ from those of the run to resume", &["other-settings"]),
    (
        11,
        "processes that cannot train together: no MPI, or other settings, pairs or weights",
        &["no-mpi", "other-ranks"],
    ),
    (12, "a process of the run was lost; its last saved state is whole", &["rank-lost"]),
    (101, "a bug in the program: please report it", &[]),
    (129, "stopped as its terminal was closed; a run under way was saved", &["hung-up"]),
    (130, "stopped by Ctrl-C; a run under way was saved", &["interrupted"]),
    (138, "stopped by SIGUSR1; a run under way was saved", &["asked-to-stop"]),
    (143, "stopped by SIGTERM; a run under way was saved", &["terminated"]),
];

impl Failure {
    /// A failure with one of the codes of [`EXIT_CODES`]. Of addresses in its message it keeps no secrets.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: without_secrets(&message.into()).into_owned(), passes: false }
    }

    /// A wrong option.
    pub fn option(option: &str, expected: &str, got: impl core::fmt::Display) -> Self {
        Self::new("invalid-option", format!("invalid option {option}: expected {expected}, got {got}"))
    }

    /// A data set that cannot be used.
    pub fn dataset(message: impl Into<String>) -> Self {
        Self::new("invalid-dataset", message)
    }

    /// A file or folder that cannot be read.
    pub fn unreadable(what: &str, path: &std::path::Path, error: impl core::fmt::Display) -> Self {
        Self::new("source-unreadable", format!("cannot read the {what} {}: {error}", path.display()))
    }

    /// A file or folder that cannot be written.
    pub fn unwritable(path: &std::path::Path, error: impl core::fmt::Display) -> Self {
        Self::new("target-unwritable", format!("cannot write {}: {error}", path.display()))
    }

    /// Threads that the system does not start.
    pub fn no_threads(error: impl core::fmt::Display) -> Self {
        Self::new("unexpected", format!("cannot start threads: {error}"))
    }

    /// Puts what the failure is about before its message, unless it names it already, or a file in it.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        let (what, message) = (&*without_secrets(what), &self.message);
        // a file may be called `a` or `row`: it is named where a name stands
        let is_name = |at: usize| {
            let after = &message[at + what.len()..];
            (at == 0 || message[..at].ends_with(' ')) && after.starts_with([':', ',', '/', '\\'])
        };
        if !what.is_empty() && !message.match_indices(what).any(|(at, _)| is_name(at)) {
            self.message = format!("{what}: {message}");
        }
        self
    }

    /// As [`about`](Self::about), of a file or folder.
    #[must_use]
    pub fn about_path(self, path: &std::path::Path) -> Self {
        self.about(&path.display().to_string())
    }

    /// Exit code of the program that ends with this failure.
    pub fn exit_code(&self) -> u8 {
        EXIT_CODES.iter().find(|(_, _, codes)| codes.contains(&self.code)).map_or(1, |&(exit, ..)| exit)
    }
}

impl From<ClipError> for Failure {
    fn from(error: ClipError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Checks that the number of an option is above 0, and returns it.
///
/// # Errors
/// `invalid-option`.
pub fn above_0(option: &str, number: usize) -> Result<usize> {
    if number == 0 { Err(Failure::option(option, "a whole number above 0", number)) } else { Ok(number) }
}

/// The table of [`EXIT_CODES`] as text, for `--help`.
pub fn exit_code_help() -> String {
    let rows = EXIT_CODES.iter().map(|(exit, meaning, _)| format!("  {exit:>3}  {meaning}\n"));
    format!("Exit codes:\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_core_has_an_exit_code() {
        let source = include_str!("../../clip-core/src/error.rs");
        let codes: Vec<&str> = source.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(codes.len() > 20, "{codes:?}");
        // these end no command: they are errors of a caller's program
        let of_programs = ["no-weights", "already-training"];
        for code in codes.iter().filter(|code| !of_programs.contains(code)) {
            assert!(EXIT_CODES.iter().any(|(_, _, codes)| codes.contains(code)), "{code}");
        }
    }

    #[test]
    fn the_guide_has_all_exit_codes() {
        let guide = include_str!("../../../docs/guide/native.md");
        let cells = |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().to_owned()).collect() };
        let rows: Vec<Vec<String>> = guide.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
        for (exit, meaning, _) in EXIT_CODES {
            assert!(rows.iter().any(|row| row[1] == exit.to_string() && row[2] == *meaning), "{exit} {meaning}");
        }
    }

    #[test]
    fn a_failure_is_named_once() {
        let failure = Failure::dataset("row 2: no caption");
        assert_eq!(failure.clone().about("a.csv").about("a.csv").message, "a.csv: row 2: no caption");
        assert_eq!(failure.clone().about("row").about("").message, "row: row 2: no caption");
        assert_eq!(failure.clone().about("data/a.csv").about("data").message, "data/a.csv: row 2: no caption");
        let missing = Failure::unreadable("file", std::path::Path::new("a"), "no such file").about("a");
        assert_eq!(missing.message, "cannot read the file a: no such file");
        assert_eq!((failure.exit_code(), Failure::new("loss-not-finite", "").exit_code()), (5, 9));
    }
}
