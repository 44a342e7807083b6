//! Reads a folder of images and their captions.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::file_index::FileIndex;
use super::folder::{FolderFile, composed, folder_of, inspect_all, list_folder, split_path};
use super::folder_tables::{NamedImages, read_tables, table_at, tables_in};
use super::image_format::{could_be_image, format_of_extension};
use super::read_file::MAX_FILE_BYTES;
use super::sample::{CaptionOptions, Image, Sample, Sink, head, is_notice};
use super::table_columns::TableColumns;
use crate::exit::{Failure, Result};

/// Files whose first bytes are read at a time.
const INSPECTED: usize = 1024;

fn no_images(files: &[FolderFile]) -> Failure {
    let some: Vec<String> = files.iter().take(3).map(|file| head(&file.path, 60)).collect();
    let more = if files.len() > 3 { ", …" } else { "" };
    let names = if files.is_empty() { String::new() } else { format!(": {}{more}", some.join(", ")) };
    Failure::dataset(format!("no images among the folder's {} files{names}", files.len()))
}

fn could_be(file: &FolderFile) -> bool {
    could_be_image(&split_path(&file.path).1)
}

fn stem_of(file: &FolderFile) -> String {
    composed(split_path(&file.path).0)
}

/// Stems that several images share: their keys include the extension.
fn shared_stems(files: &[&FolderFile]) -> HashSet<String> {
    let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
    for file in files.iter().filter(|file| format_of_extension(&split_path(&file.path).1).is_some()) {
        let stem = stem_of(file);
        if !seen.insert(stem.clone()) {
            shared.insert(stem);
        }
    }
    shared
}

fn of_caption(key: &str, image: &FolderFile, caption: &FolderFile, options: CaptionOptions<'_>) -> Sample {
    match caption.bytes(MAX_FILE_BYTES) {
        Ok(bytes) => Sample::of_text(key, Image::File(image.location.clone()), &bytes, options),
        Err(error) => Sample::bad(key, error.message),
    }
}

/// Reads the images that no table names, with the caption files beside them; then the caption files that are left over.
fn read_beside(
    files: &[FolderFile],
    tables: &[&FolderFile],
    named: &NamedImages,
    options: CaptionOptions<'_>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let texts: Vec<&FolderFile> = files.iter().filter(|file| split_path(&file.path).1 == "txt").collect();
    // used in hints alone
    let index = LazyCell::new(|| FileIndex::new(texts.iter().copied()));
    // of a.txt and a.TXT the first is the caption, and the other is left over
    let captions: HashMap<String, &FolderFile> = texts.iter().rev().map(|&file| (stem_of(file), file)).collect();
    let mut used = HashSet::new();
    let table_for = |file: &FolderFile| tables.iter().find(|table| file.path.starts_with(folder_of(&table.path)));
    let candidates: Vec<&FolderFile> =
        files.iter().filter(|file| could_be(file) && !named.contains_key(&file.path)).collect();
    let shared = shared_stems(&candidates);
    let mut images = named.len();
    for some in candidates.chunks(INSPECTED) {
        for (file, inspection) in some.iter().zip(inspect_all(some)).filter(|(_, inspection)| inspection.is_image) {
            images += 1;
            let FolderFile { path, .. } = file;
            let (stem, extension) = split_path(path);
            let beside = captions.get(&stem_of(file));
            // a.jpg.txt is a caption of a.jpg, too; and a name without extension may have a dot
            let caption = beside.or_else(|| captions.get(&composed(path)));
            let own = if format_of_extension(&extension).is_some() || beside.is_some() { stem } else { path };
            let key = if shared.contains(&stem_of(file)) { path } else { own };
            used.extend(caption.map(|caption| &caption.path));
            sink(match (inspection.problem, caption, table_for(file)) {
                (Some(problem), ..) => Sample::bad(key, format!("{path}: {problem}")),
                (None, Some(caption), _) => of_caption(key, file, caption, options),
                (None, None, Some(table)) => Sample::bad(key, format!("no row for {path} in {}", table.path)),
                (None, None, None) => {
                    let hint = index.hint(&format!("{own}.txt"));
                    Sample::bad(key, format!("no caption for {path}: {own}.txt is missing{hint}"))
                }
            })?;
        }
    }
    if images == 0 {
        return Err(no_images(files));
    }
    let is_orphan =
        |file: &&&FolderFile| !used.contains(&file.path) && table_for(file).is_none() && !is_notice(&file.path);
    let orphans: Vec<&FolderFile> = texts.iter().filter(is_orphan).copied().collect();
    let mut alike: HashMap<String, Vec<&str>> = orphans.iter().map(|file| (stem_of(file), Vec::new())).collect();
    if !alike.is_empty() {
        for file in files {
            alike.get_mut(&stem_of(file)).into_iter().for_each(|paths| paths.push(&file.path));
        }
    }
    for left in orphans {
        let others = alike.get(&stem_of(left)).into_iter().flatten().filter(|path| **path != left.path);
        let names: Vec<&str> = others.copied().collect();
        let only = if names.is_empty() { String::new() } else { format!(", only {}", head(&names.join(", "), 200)) };
        sink(Sample::bad(split_path(&left.path).0, format!("no image for the caption {}{only}", left.path)))?;
    }
    Ok(())
}

/// Reads the samples of a folder and its subfolders; `table` is the path of the only table to read.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for a folder without images and for a table that cannot be read; those of the sink.
pub(super) fn image_folder(
    folder: &Path,
    table: Option<&str>,
    columns: TableColumns<'_>,
    captions: CaptionOptions<'_>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let files = list_folder(folder)?;
    if !files.iter().any(could_be) {
        return Err(no_images(&files));
    }
    let tables = match table {
        Some(path) => vec![table_at(&files, path)?],
        None => tables_in(&files)?,
    };
    let mut named = NamedImages::new();
    read_tables(&tables, &files, &mut named, columns, sink)?;
    // with a table of the caller's choice, other images may belong to another split
    if table.is_none() { read_beside(&files, &tables, &named, captions, sink) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{described, fixture_path};

    fn read(folder: &Path, table: Option<&str>) -> Vec<String> {
        let describe = |sample: Sample| match sample.pair {
            Ok((_, texts)) => format!("{}: {}", sample.key, texts.join(" / ")),
            Err(error) => format!("{} ✗ {error}", sample.key),
        };
        let (columns, captions) = (TableColumns::default(), CaptionOptions::default());
        described(|sink| image_folder(folder, table, columns, captions, sink), describe)
    }

    #[test]
    fn the_table_of_each_split_names_its_own_images() {
        let folder = fixture_path("cases/split-metadata");
        assert_eq!(read(&folder, None).len(), 4);
        assert!(read(&folder, None).iter().all(|sample| !sample.contains('✗')), "{:?}", read(&folder, None));
        assert_eq!(read(&folder, Some("train/metadata.jsonl")).len(), 2);
        assert!(read(&folder, Some("metadata.csv"))[0].contains("no table metadata.csv among"));
    }

    #[test]
    fn images_are_known_by_their_bytes_and_others_named() {
        let got = read(&fixture_path("cases/picture-extensions"), None);
        assert_eq!(got.len(), 4, "{got:?}");
        assert!(got.iter().any(|sample| sample.starts_with("iphone ✗") && sample.contains("HEIC")), "{got:?}");
        let encodings = read(&fixture_path("cases/caption-encodings"), None);
        assert!(encodings[0].contains("pass --encoding windows-1252"), "{encodings:?}");
        assert!(encodings[1].starts_with("utf16: caf"), "{encodings:?}");
    }

    #[test]
    fn captions_lie_beside_images() {
        let folder = tempfile::tempdir().unwrap();
        let png = std::fs::read(fixture_path("cases/split-metadata/test/0.png")).unwrap();
        for (name, bytes) in [
            ("a.png", png.as_slice()),
            ("a.txt", b"one"),
            ("b/c.png", &png),
            ("b/C.txt", b"other"),
            ("d.jpg.txt", b"four"),
            ("d.jpg", &png),
            ("README.txt", b"about"),
            (".hidden.png", &png),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(
            read(folder.path(), None),
            [
                "a: one",
                "b/c ✗ no caption for b/c.png: b/c.txt is missing; did you mean b/C.txt?",
                "d: four",
                "b/C ✗ no image for the caption b/C.txt",
            ]
        );
        // captions without images are many where the images are elsewhere
        for number in 0..20_000 {
            std::fs::write(folder.path().join(format!("{number}.txt")), "one").unwrap();
        }
        assert_eq!(read(folder.path(), None).len(), 20_004);
        assert_eq!(read(&fixture_path("training"), None)[0].split(':').next(), Some("invalid-dataset"));
    }
}
