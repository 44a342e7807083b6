//! Reads files whose names come from others: from tables, from folders, from a command line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

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
