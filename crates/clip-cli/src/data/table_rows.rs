//! Reads the rows of a table of separated values or JSON.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::csv::{CsvRows, Field};
use super::decode_text::undecoded;
use super::json_values::{json_values, parse_value};
use super::sample::{invalid_character, lines, trim};
use super::table_columns::{Columns, TableColumns, find_columns, list};
use crate::exit::{Failure, Result};
use crate::pattern::pattern;

/// A row: the name of an image and its captions, or a problem.
#[derive(Debug, Clone)]
pub(super) struct TableRow {
    /// Name of the row for messages.
    pub(super) place: String,
    pub(super) name: String,
    /// The captions, or what is wrong.
    pub(super) captions: core::result::Result<Vec<String>, String>,
}

/// Separators to try first; then the other signs in the header.
const SEPARATORS: [&str; 4] = [",", "\t", ";", "|"];

/// Values that pandas reads as missing unless they are quoted.
const MISSING: [&str; 11] = ["#N/A", "N/A", "#NA", "NA", "<NA>", "NULL", "NaN", "None", "n/a", "nan", "null"];

fn trimmed(row: &[Field]) -> Vec<String> {
    row.iter().map(|field| trim(&field.text).to_owned()).collect()
}

fn header_of(text: &str, separator: &str) -> Vec<String> {
    let mut headers = CsvRows::new(text, separator).map(|row| trimmed(&row));
    headers.find(|header| header.iter().any(|name| !name.is_empty())).unwrap_or_default()
}

/// Returns the separator that gives both columns, or else the one that gives the most columns.
fn find_separator(text: &str, columns: TableColumns<'_>) -> String {
    let line = text.split(['\r', '\n']).find(|line| !trim(line).is_empty()).unwrap_or_default();
    let mut candidates: Vec<String> = SEPARATORS.map(str::to_owned).into();
    let sign = |c: char| !(c.is_alphanumeric() || c.is_whitespace() || "_\"'-".contains(c));
    candidates.extend(line.chars().filter(|&c| sign(c)).map(String::from));
    let headers: Vec<Vec<String>> = candidates.iter().map(|separator| header_of(text, separator)).collect();
    let fits = headers.iter().position(|header| find_columns(header, columns).is_ok());
    let most = headers.iter().map(Vec::len).max().unwrap_or(0);
    let widest = || headers.iter().position(|header| header.len() == most).unwrap_or(0);
    candidates.swap_remove(fits.unwrap_or_else(widest))
}

/// The header of a table.
struct Header<'a> {
    columns: Columns,
    length: usize,
    separator: &'a str,
    encoding: Option<&'a str>,
}

/// Finds a line inside a quoted field that looks like a row: an unclosed quote has swallowed it.
fn row_within<'a>(text: &'a str, header: &Header<'_>) -> Option<&'a str> {
    static FILE_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^[^\s"]+\.[A-Za-z0-9]{2,4}$"#));
    let is_row = |line: &&str| {
        let fields: Vec<&str> = line.split(header.separator).collect();
        fields.len() >= header.length && FILE_NAME.is_match(trim(fields[header.columns.image]))
    };
    lines(text).skip(1).find(is_row)
}

/// A row with a problem.
fn bad(place: String, problem: impl Into<String>, name: &str) -> TableRow {
    let name = if invalid_character(name).is_some() { "" } else { trim(name) };
    TableRow { place, name: name.into(), captions: Err(problem.into()) }
}

/// A row, or one with a problem where a value is missing or invalid.
fn complete(place: String, name: &str, captions: &[&str], encoding: Option<&str>) -> TableRow {
    if let Some(lost) = undecoded([name].into_iter().chain(captions.iter().copied()), encoding) {
        return bad(place, lost, name);
    }
    if trim(name).is_empty() {
        return bad(place, "no image name", "");
    }
    let texts: Vec<&str> = captions.iter().copied().filter(|caption| !trim(caption).is_empty()).collect();
    if let Some(wrong) = [name].iter().chain(&texts).find_map(|text| invalid_character(text)) {
        return bad(place, wrong, name);
    }
    if texts.is_empty() {
        return bad(place, "no caption", name);
    }
    TableRow { place, name: trim(name).into(), captions: Ok(texts.into_iter().map(str::to_owned).collect()) }
}

fn of_fields(place: String, row: &[Field], header: &Header<'_>) -> TableRow {
    let texts: Vec<&str> = row.iter().map(|field| field.text.as_str()).collect();
    let Columns { image, caption } = header.columns;
    // where an unquoted separator splits a field, the fields after it stand in wrong columns
    let name = if image < caption { texts.get(image).copied().unwrap_or_default() } else { "" };
    // trailing separators split no field
    let split = texts.iter().skip(header.length).any(|text| !trim(text).is_empty());
    let unclosed = row.iter().any(|field| field.unclosed);
    if unclosed || split || row.len() < header.length {
        let got = list(texts.iter().copied());
        let problem = undecoded(texts.iter().copied(), header.encoding).unwrap_or_else(|| {
            if unclosed {
                return format!("a quote is not closed: {got}");
            }
            let hint = if split { "; quote fields that contain the separator" } else { "" };
            format!("expected {} fields, as in the header, got {}: {got}{hint}", header.length, row.len())
        });
        return bad(place, problem, name);
    }
    let (name, text) = (&row[image].text, &row[caption]);
    if let Some(within) = row_within(&text.text, header) {
        return bad(place, format!("a quote is not closed: the caption contains the row {}", list([within])), name);
    }
    let value = trim(&text.text);
    if !text.quoted && MISSING.contains(&value) {
        let problem = format!("no caption: {value} stands for a missing value; quote it if it is the caption");
        return bad(place, problem, name);
    }
    complete(place, name, &[&text.text], header.encoding)
}

fn of_separated(text: &str, columns: TableColumns<'_>) -> Result<Vec<TableRow>> {
    // Excel's optional first line
    static DECLARED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^(?i)"?sep=([^\r\n])"?[ \t]*(?:\r\n|\r|\n|$)"#));
    let declared = DECLARED.captures(text);
    let body = declared.as_ref().map_or(text, |line| &text[line[0].len()..]);
    let separator = match (columns.separator, &declared) {
        (Some(given), _) => given.to_owned(),
        (None, Some(line)) => line[1].to_owned(),
        (None, None) => find_separator(body, columns),
    };
    let mut header: Option<Header<'_>> = None;
    let mut rows = Vec::new();
    for (number, row) in CsvRows::new(body, &separator).enumerate() {
        if row.iter().all(|field| trim(&field.text).is_empty()) {
            continue;
        }
        if let Some(header) = &header {
            rows.push(of_fields(format!("row {}", number + 1), &row, header));
            continue;
        }
        let names = trimmed(&row);
        if let Some(lost) = undecoded(names.iter().map(String::as_str), columns.encoding) {
            return Err(Failure::dataset(lost));
        }
        let found = find_columns(&names, columns)?;
        header =
            Some(Header { columns: found, length: names.len(), separator: &separator, encoding: columns.encoding });
    }
    if header.is_none() {
        find_columns(&[], columns)?;
    }
    Ok(rows)
}

/// Type of a value, as JavaScript names it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}

/// # Errors
/// A message: the row is no object, or has no such columns.
fn of_object(place: &str, row: &Value, columns: TableColumns<'_>) -> core::result::Result<TableRow, String> {
    let place = place.to_owned();
    let Value::Object(map) = row else {
        return Ok(bad(place, format!("expected an object, got {}", type_of(row)), ""));
    };
    let keys: Vec<String> = map.keys().cloned().collect();
    let found = find_columns(&keys, columns).map_err(|error| error.message)?;
    let Value::String(name) = &map[&keys[found.image]] else {
        return Ok(bad(place, format!("expected an image name, got {}", type_of(&map[&keys[found.image]])), ""));
    };
    let captions = match &map[&keys[found.caption]] {
        Value::Array(captions) => captions.iter().collect(),
        one => vec![one],
    };
    if let Some(other) = captions.iter().find(|caption| !caption.is_string()) {
        return Ok(bad(place, format!("expected captions as text, got {}", type_of(other)), name));
    }
    let texts: Vec<&str> = captions.into_iter().filter_map(Value::as_str).collect();
    Ok(complete(place, name, &texts, columns.encoding))
}

fn of_json(text: &str, columns: TableColumns<'_>) -> Result<Vec<TableRow>> {
    let mut failures = Vec::new();
    let mut rows = Vec::new();
    for (place, json) in json_values(text) {
        let row = parse_value(json).and_then(|parsed| {
            let mut row = of_object(&place, &parsed.value, columns)?;
            // the parser puts U+0000 in place of a lone surrogate
            if parsed.surrogate.is_some() && row.captions.as_ref().err().map(String::as_str) == invalid_character("\0")
            {
                row.captions = row.captions.map_err(|problem| parsed.surrogate.unwrap_or(problem));
            }
            Ok(row)
        });
        rows.push(row.unwrap_or_else(|problem| {
            failures.push(format!("{place}: {problem}"));
            bad(place, problem, "")
        }));
    }
    // if every row fails, the table or its columns are the wrong ones
    match failures.first() {
        Some(first) if failures.len() == rows.len() => Err(Failure::dataset(first)),
        _ => Ok(rows),
    }
}

/// Reads the rows of a table: JSON, as one object a line or an array of objects, or separated values under a header.
///
/// # Errors
/// `invalid-dataset` for a table that lacks the columns.
pub(super) fn table_rows(text: &str, file_name: &str, columns: TableColumns<'_>) -> Result<Vec<TableRow>> {
    let name = file_name.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let is_json = [".json", ".jsonl", ".jsonlines", ".ndjson"].iter().any(|end| name.ends_with(end))
        || text.trim_start().starts_with(['[', '{']);
    if is_json { of_json(text, columns) } else { of_separated(text, columns) }
}
