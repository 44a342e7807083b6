//! Finds the columns of image names and captions in a table.

use super::sample::{head, quote};
use crate::exit::{Failure, Result};

/// Which columns are read. Names match regardless of case, spaces, `-` and `_`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableColumns<'a> {
    /// Column of image names; `None` for the first of [`IMAGE_COLUMNS`].
    pub(super) image: Option<&'a str>,
    /// Column of captions; `None` for the first of [`CAPTION_COLUMNS`].
    pub(super) caption: Option<&'a str>,
    /// Separator of columns; `None` for that of a `sep=` line, else the one found in the header.
    pub(super) separator: Option<&'a str>,
    /// Encoding of text without a byte order mark.
    pub(super) encoding: Option<&'a str>,
}

/// Names in img2dataset, OpenCLIP and Hugging Face's ImageFolder.
const IMAGE_COLUMNS: [&str; 5] = ["file_name", "filepath", "image", "path", "url"];
const CAPTION_COLUMNS: [&str; 3] = ["text", "caption", "title"];

/// Indices of the two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: usize,
    pub(super) caption: usize,
}

fn normalized(name: &str) -> String {
    name.to_lowercase().chars().filter(|&c| !(c.is_whitespace() || c == '_' || c == '-')).collect()
}

/// Lists values for a message, shortened.
pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = values.into_iter().take(10).map(|value| quote(value, 40)).collect();
    head(&quoted.join(", "), 200)
}

fn find_column(header: &[String], given: Option<&str>, defaults: &[&str]) -> Result<usize> {
    let names: Vec<&str> = given.map_or(defaults.to_vec(), |name| vec![name]);
    for name in &names {
        let indices = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
            header.iter().enumerate().filter(|(_, column)| is(column)).map(|(at, _)| at).collect()
        };
        let mut found = indices(&|column| column == *name);
        if found.is_empty() {
            found = indices(&|column| normalized(column) == normalized(name));
        }
        if found.len() > 1 {
            let same = list(found.iter().map(|&at| header[at].as_str()));
            return Err(Failure::dataset(format!("expected one column {name}, got {}: {same}", found.len())));
        }
        if let Some(&at) = found.first() {
            return Ok(at);
        }
    }
    let got = if header.is_empty() { "no columns".into() } else { list(header.iter().map(String::as_str)) };
    Err(Failure::dataset(format!("expected a column {}, got {got}", head(&names.join(" or "), 200))))
}

/// # Errors
/// `invalid-dataset` for a header without one of them, with two of its name, or with one column for both.
pub(super) fn find_columns(header: &[String], columns: TableColumns<'_>) -> Result<Columns> {
    let image = find_column(header, columns.image, &IMAGE_COLUMNS)?;
    let caption = find_column(header, columns.caption, &CAPTION_COLUMNS)?;
    if image != caption {
        return Ok(Columns { image, caption });
    }
    let got = list([header[image].as_str()]);
    Err(Failure::dataset(format!("expected a column of image names and one of captions, got {got} for both")))
}
