//! Reads WebDataset shards: tar files, also compressed by gzip, concatenated, or without an end marker.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use tar::{Archive, Entry, EntryType};

use super::folder::split_path;
use super::gzip::{Gzip, MAGIC};
use super::image_format::{HEAD_BYTES, could_be_image, format_of_extension};
use super::location::Location;
use super::read_file::{MAX_FILE_BYTES, Opened, failure_in};
use super::sample::{CaptionOptions, Sink, head};
use super::sniff::{Inspection, content_of, inspect};
use super::tar_headers::{BLOCK, TarHeaders, is_header};
use super::tar_samples::{Part, Samples, is_hidden, split_name};
use crate::exit::{Failure, Result};

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Checks that a file begins as a tar file does.
fn check_start(start: &[u8]) -> Result<()> {
    let expected = |got: String| Err(Failure::dataset(format!("expected a tar file, got {got}")));
    if start.is_empty() {
        return expected("an empty file".into());
    }
    let Some(block) = start.first_chunk::<BLOCK>() else {
        return expected(content_of(start).unwrap_or_else(|| format!("{} bytes", start.len())));
    };
    if is_header(block) || block.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    expected(content_of(block).unwrap_or_else(|| "unknown data".into()))
}

/// An error of the disk, or of the archive: it could not be read on `after` the member of that name.
fn broken(error: &io::Error, after: &str) -> Failure {
    if let Some(failure) = failure_in(error) {
        return failure;
    }
    let message = error.to_string();
    // kinds that readers of archives give to what they read; the disk has others
    let of_archive =
        [io::ErrorKind::Other, io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput, io::ErrorKind::UnexpectedEof];
    if !of_archive.contains(&error.kind()) {
        return Failure::new("source-unreadable", format!("cannot read the file: {message}"));
    }
    let is_cut = error.kind() == io::ErrorKind::UnexpectedEof
        || message.contains("unexpected EOF")
        || message.contains("failed to read entire block");
    Failure::dataset(match (is_cut, after) {
        (true, name) => format!("truncated tar: it ends inside or after {name}: copy or download it again"),
        (false, "") => format!("cannot read the tar file: {message}"),
        (false, name) => format!("cannot read the tar file after {name}: {message}"),
    })
}

/// Reads a member as a part of a sample; returns `None` for one that is neither an image nor a caption. Bodies that are not read are
/// skipped by the archive.
fn read_part<R: Read>(entry: &mut Entry<'_, R>, name: &str, suffix: &str, seekable: bool) -> io::Result<Option<Part>> {
    let (_, extension) = split_path(suffix);
    let extension = if suffix.contains('.') { extension } else { suffix.to_owned() };
    let caption = extension == "txt";
    let at = seekable.then(|| entry.raw_file_position());
    let part = |inspection: Inspection, bytes: Vec<u8>| {
        Some(Part { name: name.into(), suffix: suffix.into(), inspection, bytes, at })
    };
    let refused = |problem: String| part(Inspection { is_image: !caption, problem: Some(problem) }, Vec::new());
    match entry.header().entry_type() {
        EntryType::Link | EntryType::Symlink => {
            if !caption && format_of_extension(&extension).is_none() {
                return Ok(None);
            }
            let target =
                entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned()).unwrap_or_default();
            return Ok(refused(format!("a link to {} has no bytes in the tar", head(&target, 200))));
        }
        EntryType::Regular | EntryType::Continuous => {}
        _ => return Ok(None),
    }
    if !(caption || could_be_image(&extension)) {
        return Ok(None);
    }
    let size = entry.size();
    if size > MAX_FILE_BYTES {
        return Ok(refused(format!("expected at most {MAX_FILE_BYTES} bytes, got {size}")));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    let mut inspection = Inspection::default();
    if !caption {
        entry.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut bytes)?;
        inspection = inspect(&bytes, &extension);
        if !inspection.is_image {
            return Ok(None);
        }
    }
    entry.read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(part(inspection, bytes))
}

fn read_members(reader: impl Read, seekable: bool, samples: &mut Samples<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let mut archive = Archive::new(TarHeaders::new(reader));
    // archives joined by `cat`, as `tar --ignore-zeros` reads them
    archive.set_ignore_zeros(true);
    let mut last = String::new();
    for entry in archive.entries().map_err(|error| broken(&error, ""))? {
        let mut entry = entry.map_err(|error| broken(&error, &last))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        last.clone_from(&name);
        if is_hidden(&name) {
            continue;
        }
        let (key, suffix) = split_name(&name);
        let part = read_part(&mut entry, &name, &suffix, seekable).map_err(|error| broken(&error, &name))?;
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if is_file && !suffix.is_empty() {
            samples.add(key, part, sink)?;
        } else if let Some(part) = part {
            samples.add_loose(&key, part);
        }
    }
    samples.end(None, sink)
}

fn read_shard(at: &Location, options: CaptionOptions<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let unreadable = |error: io::Error| {
        failure_in(&error)
            .unwrap_or_else(|| Failure::new("source-unreadable", format!("cannot read the file {at}: {error}")))
    };
    let Opened { mut reader, in_parts } = at.open()?;
    let mut start = Vec::new();
    reader.by_ref().take(BLOCK as u64).read_to_end(&mut start).map_err(unreadable)?;
    let file = BufReader::with_capacity(BUFFER, io::Cursor::new(start.clone()).chain(reader));
    let mut samples = Samples::new(Arc::new(at.clone()), options);
    // the first bytes tell, not the name
    if start.starts_with(&MAGIC) {
        let mut unpacked = BufReader::with_capacity(BUFFER, Gzip::new(file));
        let mut block = Vec::new();
        let read = unpacked.by_ref().take(BLOCK as u64).read_to_end(&mut block);
        read.map_err(|error| {
            failure_in(&error).unwrap_or_else(|| Failure::dataset(format!("cannot unpack the gzip file: {error}")))
        })?;
        check_start(&block)?;
        return read_members(io::Cursor::new(block).chain(unpacked), false, &mut samples, sink);
    }
    check_start(&start)?;
    read_members(file, in_parts, &mut samples, sink)
}

/// Reads the samples of a shard.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for a file that is no tar file or is truncated; those of the sink.
pub(super) fn webdataset(at: &Location, options: CaptionOptions<'_>, sink: &mut Sink<'_>) -> Result<()> {
    read_shard(at, options, sink).map_err(|error| error.about(&at.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::sample::Sample;
    use crate::data::tests::{described, fixture_path, json, tar};

    fn read(path: &Path) -> Vec<String> {
        let describe = |sample: Sample| match sample.pair {
            Ok((image, texts)) => {
                let mut again = image.clone();
                again.forget();
                assert_eq!(image.bytes().unwrap(), again.bytes().unwrap());
                format!("{}: {}", sample.key, texts.join(" / "))
            }
            Err(error) => format!("{} ✗ {error}", sample.key),
        };
        described(|sink| webdataset(&Location::Path(path.into()), CaptionOptions::default(), sink), describe)
    }

    #[test]
    fn shards_of_users() {
        let of = |name: &str| read(&fixture_path(&format!("cases/webdataset/{name}")));
        for name in ["utf16-caption.tar", "gz.tar.gz", "no-end.tar"] {
            let got = of(name);
            assert!(got.len() == 1 && got[0].ends_with(": a red square"), "{name}: {got:?}");
        }
        let dots = of("dots.tar");
        assert!(!dots.is_empty() && dots.iter().all(|sample| sample.contains("ends at the first dot")), "{dots:?}");
        let some = of("some-dots.tar");
        assert_eq!(some.iter().filter(|sample| !sample.contains('✗')).count(), 2, "{some:?}");
        let joined = of("joined.tar");
        assert_eq!(joined[0], "v1.2/0001: a red square");
        assert_eq!(joined.iter().filter(|sample| sample.contains('✗')).count(), 2, "{joined:?}");
        assert_eq!(read(&fixture_path("cases/unicode-names/mixed.tar")).len(), 1);
    }

    #[test]
    fn names_give_the_pairs_of_the_webdataset_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let golden = json("cases/webdataset/golden.json");
        for case in golden["names"].as_array().unwrap() {
            let names: Vec<&str> =
                case["members"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            let body = |name: &&str| {
                if name.to_lowercase().ends_with(".txt") { format!("caption of {name}") } else { "P".into() }
            };
            let bodies: Vec<String> = names.iter().map(body).collect();
            let members: Vec<(&str, &[u8])> =
                names.iter().zip(&bodies).map(|(name, body)| (*name, body.as_bytes())).collect();
            std::fs::write(&path, tar(&members)).unwrap();
            let expected: Vec<String> = case["pairs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| format!("{}: {}", pair[0].as_str().unwrap(), pair[2].as_str().unwrap()))
                .collect();
            // members with a dotted suffix are reported besides, where the library drops them in silence
            let got: Vec<String> = read(&path).into_iter().filter(|sample| !sample.contains('✗')).collect();
            assert_eq!(got, expected, "{names:?}");
        }
        for format in ["gnu", "pax", "ustar"] {
            let got = read(&fixture_path(&format!("cases/webdataset/formats/folders.{format}.tar.gz")));
            assert!(!got.is_empty() && got.iter().all(|sample| !sample.contains('✗')), "{format}: {got:?}");
        }
    }

    #[test]
    fn headers_mean_what_they_mean_to_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let png = std::fs::read(fixture_path("cases/split-metadata/test/0.png")).unwrap();
        let header = |kind: EntryType, name: &str, size: usize| {
            let mut header = tar::Header::new_ustar();
            header.set_path(name).unwrap();
            header.set_entry_type(kind);
            header.set_size(size as u64);
            header.set_cksum();
            header.as_bytes().to_vec()
        };
        let image = |kind: EntryType| {
            let padding = vec![0; png.len().next_multiple_of(BLOCK) - png.len()];
            [header(kind, "1.png", png.len()), png.clone(), padding].concat()
        };
        let text = tar(&[("1.txt", b"one")]);
        // a hard link with the size of its target, which has no bytes of its own, as pax writes it
        let linked = [image(EntryType::Regular), header(EntryType::Link, "0.bin", 5000), text.clone()].concat();
        std::fs::write(&path, linked).unwrap();
        assert_eq!(read(&path), ["1: one"]);
        for kind in [EntryType::GNUSparse, EntryType::new(b'Z')] {
            std::fs::write(&path, [image(kind), text.clone()].concat()).unwrap();
            assert_eq!(read(&path), ["1: one"]);
        }
        // a name that would fill the memory
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            std::fs::write(&path, [header(kind, "x", 1 << 30), vec![0; 4 * BLOCK]].concat()).unwrap();
            let got = read(&path);
            assert!(got[0].contains("bytes of a member's metadata, got 1073741824"), "{got:?}");
        }
        // a blank size is that of an empty file
        let mut blank = tar::Header::new_ustar();
        blank.set_path("0.bin").unwrap();
        blank.as_old_mut().size = [b' '; 12];
        blank.set_cksum();
        let bytes = [blank.as_bytes().to_vec(), image(EntryType::Regular), tar(&[("1.txt", b"one")])].concat();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path), ["1: one"]);
    }

    #[test]
    fn errors_of_the_disk_are_not_the_archives() {
        for (error, code) in [
            (io::Error::from(io::ErrorKind::TimedOut), "source-unreadable"),
            (io::Error::from(io::ErrorKind::PermissionDenied), "source-unreadable"),
            (io::Error::other("numeric field was not a number"), "invalid-dataset"),
            (io::ErrorKind::UnexpectedEof.into(), "invalid-dataset"),
        ] {
            assert_eq!(broken(&error, "1.png").code, code, "{error}");
        }
    }

    #[test]
    fn broken_shards_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let png = std::fs::read(fixture_path("cases/split-metadata/test/0.png")).unwrap();
        let whole = tar(&[("1.png", png.as_slice()), ("1.txt", b"one"), ("2.txt", b"two")]);
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path), ["1: one", "2 ✗ caption without an image (.png, .jpg, .webp)"]);
        for (bytes, expected) in [
            (&whole[..600], "truncated tar: it ends inside or after 1.png"),
            (&whole[..1700], "truncated tar"),
            (b"".as_slice(), "expected a tar file, got an empty file"),
            (b"PK\x03\x04".as_slice(), "expected a tar file, got a zip archive"),
            (b"\x1f\x8b\x08\0".as_slice(), "cannot unpack the gzip file"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let got = read(&path);
            assert!(got[0].starts_with("invalid-dataset: ") && got[0].contains(expected), "{expected}: {got:?}");
            assert!(got[0].contains("a.tar"), "{got:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path)[0].starts_with("source-unreadable: cannot read the file "), "{:?}", read(&path));
    }
}
