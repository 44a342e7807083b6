//! Reads the tables in a folder, and the images that they name.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::caption_table::read_table;
use super::file_index::{FileIndex, image_of};
use super::folder::{FolderFile, folder_of};
use super::sample::{Sample, Sink, head};
use super::table_columns::TableColumns;
use super::table_file::MAX_TABLE_BYTES;
use crate::exit::{Failure, Result};
use crate::pattern::pattern;

static TABLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)^(metadata|captions)\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$"));

/// # Errors
/// `invalid-dataset` without a table at the path.
pub(super) fn table_at<'a>(files: &'a [FolderFile], path: &str) -> Result<&'a FolderFile> {
    let index = FileIndex::new(files);
    index.find(path, "").ok_or_else(|| {
        let hint = index.hint(path);
        Failure::dataset(format!("no table {} among the folder's {} files{hint}", head(path, 200), files.len()))
    })
}

/// Finds the tables of a folder and below, the deepest first: an image takes its caption from the nearest table.
///
/// # Errors
/// `invalid-dataset` for two tables in one folder, and for a format that is not read.
pub(super) fn tables_in(files: &[FolderFile]) -> Result<Vec<&FolderFile>> {
    let is_table = |file: &&FolderFile| TABLE.is_match(&file.path[folder_of(&file.path).len()..]);
    let mut tables: Vec<&FolderFile> = files.iter().filter(is_table).collect();
    let mut per_folder: HashMap<&str, &str> = HashMap::new();
    for FolderFile { path, .. } in &tables {
        let lower = path.to_lowercase();
        if lower.ends_with(".parquet") || lower.ends_with(".parquet.gz") {
            let message = format!("expected a table as csv, tsv or jsonl, got {}: convert it", head(path, 200));
            return Err(Failure::dataset(message));
        }
        if let Some(other) = per_folder.insert(folder_of(path), path) {
            let message =
                format!("expected one table in a folder, got {other} and {path}: choose one by --table {path}");
            return Err(Failure::dataset(message));
        }
    }
    tables.sort_by_key(|file| std::cmp::Reverse(file.path.matches('/').count()));
    Ok(tables)
}

/// For the path of each image that tables name: the path of the first table that names it, and its captions there.
pub(super) type NamedImages = HashMap<String, (String, Option<Vec<String>>)>;

/// Reads the samples of tables. Image names are relative to the table's folder, as in Hugging Face's ImageFolder (datasets 5.2,
/// `folder_based_builder.py`). An image that two tables name is read from the first; the other must have the same captions.
///
/// # Errors
/// `invalid-dataset`, `source-unreadable`, and those of the sink.
pub(super) fn read_tables(
    tables: &[&FolderFile],
    files: &[FolderFile],
    named: &mut NamedImages,
    columns: TableColumns<'_>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let index = FileIndex::new(files);
    for table in tables {
        let beside = folder_of(&table.path);
        let mut each = |sample: Sample| {
            // a malformed row names its image, too
            let Some(file) = index.find(&sample.key, beside) else {
                return sink(in_folder(sample, beside, tables.len()));
            };
            let captions = sample.pair.as_ref().ok().map(|(_, texts)| texts.clone());
            match named.get(&file.path) {
                Some((first, of_first)) if *first != table.path => {
                    if *of_first == captions {
                        return Ok(());
                    }
                    let message = format!("{first} and {} have different captions for it", table.path);
                    sink(Sample::bad(&file.path, message))
                }
                _ => {
                    named.insert(file.path.clone(), (table.path.clone(), captions));
                    sink(in_folder(sample, beside, tables.len()))
                }
            }
        };
        let mut find = |name: &str| image_of(index.get(name, beside)?);
        read_table(table.bytes(MAX_TABLE_BYTES)?, &table.path, columns, &mut find, &mut each)
            .map_err(|error| error.about(&table.path))?;
    }
    Ok(())
}

/// Names a sample by its path in the folder where there are several tables.
fn in_folder(sample: Sample, folder: &str, tables: usize) -> Sample {
    if tables == 1 { sample } else { Sample { key: format!("{folder}{}", sample.key), ..sample } }
}
