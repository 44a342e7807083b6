//! Writes files whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use tempfile::TempDir;

use crate::exit::{Failure, Result};

/// The folder of a path; `.` for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file that has an end: a device may have none, and a pipe is waited for.
///
/// # Errors
/// Those of the disk; for anything but a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("it is no regular file")) }
}

/// Ending of drafts: hidden files and folders that are not complete yet.
const DRAFT: &str = ".draft";

/// Makes drafts.
fn drafts() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(DRAFT);
    builder
}

/// Whether a name is that of a draft, which a killed process leaves behind.
pub fn is_draft(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(DRAFT)
}

/// Makes a temporary folder beside `path`, and its parents, to build the content in. It is deleted on drop.
///
/// # Errors
/// `target-unwritable`.
pub fn draft_folder(path: &Path) -> Result<TempDir> {
    let parent = parent_of(path);
    make_folder(parent)?;
    drafts().tempdir_in(parent).map_err(|error| Failure::unwritable(path, error))
}

/// Makes a folder and those above it.
///
/// # Errors
/// `target-unwritable`.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Failure::unwritable(path, error))
}

/// Writes a file under a temporary name, on the disk when this returns, and renames it: whoever opens `path` finds the old or the new
/// file, also after a crash.
///
/// # Errors
/// `target-unwritable`; what was there is then unchanged.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unwritable = |error: io::Error| Failure::unwritable(path, error);
    let folder = parent_of(path);
    let mut builder = drafts();
    #[cfg(unix)]
    builder.permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    let mut draft = builder.tempfile_in(folder).map_err(unwritable)?;
    draft.write_all(bytes).and_then(|()| draft.as_file().sync_all()).map_err(unwritable)?;
    draft.persist(path).map_err(|error| unwritable(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Gives a file that was written whole a second name, or a copy where the disk has no links.
///
/// # Errors
/// `target-unwritable`.
pub fn link_whole(from: &Path, to: &Path) -> Result<()> {
    let unwritable = |error: io::Error| Failure::unwritable(to, error);
    let folder = draft_folder(to)?;
    let draft = folder.path().join("link");
    if fs::hard_link(from, &draft).is_err() {
        fs::copy(from, &draft).and_then(|_| File::open(&draft)?.sync_all()).map_err(unwritable)?;
    }
    fs::rename(&draft, to).map_err(unwritable)?;
    sync_folder(parent_of(to));
    Ok(())
}

/// Makes a rename durable. Not all systems can open a folder; there it is, a little later.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        link_whole(&path, &other).unwrap();
        link_whole(&path, &other).unwrap();
        write_whole(&path, b"three").unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"three".to_vec(), b"two".to_vec()));
        assert_eq!(write_whole(&folder.path().join("no/such"), b"").unwrap_err().code, "target-unwritable");
        // a folder in place of the file
        assert_eq!(write_whole(folder.path(), b"").unwrap_err().code, "target-unwritable");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }
}
