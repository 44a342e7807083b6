//! Reads files whose names come from others: from tables, from folders, from a command line.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::location::Location;
use crate::exit::{Failure, Result};
use crate::files::open_regular;

/// Bytes of the largest image or caption that is read, as of a shard's member.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Opens a file.
///
/// # Errors
/// `source-unreadable`, also for a device or a pipe.
pub(super) fn open_file(path: &Path) -> Result<File> {
    open_regular(path).map_err(|error| Failure::unreadable("file", path, error))
}

/// Reads a whole file.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for one of more than `limit` bytes.
pub(super) fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open_file(path)?.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::unreadable("file", path, error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::dataset(format!("{}: expected at most {limit} bytes, got more", path.display())));
    }
    Ok(bytes)
}

/// How often the reading of a file on a server is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Three times: it may never have been there, as a mistyped host or a dead link.
    Little,
    /// Eight times, for a minute at least: it was there before, and a run of days hangs on it.
    Much,
}

/// An open file.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read + Send>,
    /// Whether parts of it can be read again.
    pub(super) in_parts: bool,
}

impl Location {
    /// Opens the file.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn open(&self) -> Result<Opened> {
        match self {
            Self::Path(path) => Ok(Opened { reader: Box::new(open_file(path)?), in_parts: true }),
            Self::Address(address) => address.open(),
        }
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// `source-unreadable`; `invalid-dataset` for one of more than `limit` bytes.
    pub(super) fn read_at_most(&self, limit: u64) -> Result<Vec<u8>> {
        match self {
            Self::Path(path) => read_at_most(path, limit),
            Self::Address(address) => address.read_whole(limit, Patience::Much),
        }
    }

    /// Reads a part of the file.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn read_part(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        match self {
            Self::Path(path) => part_of(path, from, length).map_err(|error| Failure::unreadable("file", path, error)),
            Self::Address(address) => address.read_part(from, length),
        }
    }
}

fn part_of(path: &Path, from: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The failure that an error of reading comes from, also where a reader of archives passed it on.
pub(super) fn failure_in(error: &io::Error) -> Option<Failure> {
    let mut cause: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.clone());
        }
        cause = match cause.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref()?,
            None => cause.source()?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_an_end_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        assert_eq!(read_at_most(&path, 4).unwrap_err().code, "invalid-dataset");
        assert_eq!(read_at_most(folder.path(), 5).unwrap_err().code, "source-unreadable");
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.png");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [Path::new("/dev/zero"), &pipe] {
            let error = read_at_most(path, 5).unwrap_err();
            assert!(error.code == "source-unreadable" && error.message.contains("no regular file"), "{error}");
        }
    }
}
