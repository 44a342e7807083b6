//! Decodes small text files, and refuses files that hold something else than their name says.

use std::path::Path;

use serde_json::Value;

use super::read_file;
use super::signatures::{SIGNATURE_BYTES, recognize};
use crate::exit::{Failure, Result};

/// Characters of a file that a message quotes.
const MAX_QUOTED: usize = 80;

/// The error for a file with invalid content; its code follows from the file's name.
pub(super) fn invalid_content(name: &str, problem: impl core::fmt::Display) -> Failure {
    let code = if name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") {
        "invalid-checkpoint"
    } else if ["token", "merges", "vocab"].iter().any(|part| name.contains(part)) {
        "invalid-tokenizer"
    } else {
        "invalid-config"
    };
    Failure::new(code, format!("{name}: {problem}"))
}

/// Quotes the start of a text.
fn quote(text: &str) -> String {
    let start: String = text.chars().take(MAX_QUOTED).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    Value::from(format!("{start}{more}")).to_string()
}

/// Checks that a file starts as safetensors do: the header's length as a 64-bit integer, of which the upper half is 0, and `{`.
/// Other binary files that are not recognised are left to the core, which refuses them too.
///
/// # Errors
/// `invalid-checkpoint`.
pub(super) fn check_safetensors(name: &str, start: &[u8]) -> Result<()> {
    // before signatures, which the bytes of the header's length may equal
    if start.get(8) == Some(&b'{') && start.get(4..8) == Some(&[0; 4]) {
        return Ok(());
    }
    let is_text = start.len() >= 8 && start[..8].iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'));
    let beginning = String::from_utf8_lossy(&start[..start.len().min(SIGNATURE_BYTES)]);
    let text = is_text.then(|| format!("text that starts with {}", quote(beginning.trim())));
    match recognize(start).map(str::to_owned).or(text) {
        Some(got) => Err(invalid_content(name, format!("expected a safetensors file, got {got}"))),
        None => Ok(()),
    }
}

/// Parses JSON.
///
/// # Errors
/// Naming the file and the position.
pub(super) fn parse_json(name: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| {
        let position = format!("line {} column {}", error.line(), error.column());
        invalid_content(name, format!("invalid JSON at {position}: {}", quote(text.trim())))
    })
}

/// Whether a JSON object is an error that a server sends in place of a file.
fn is_server_error(value: &Value) -> bool {
    let has_message = ["error", "message", "detail"].iter().any(|key| value[key].is_string());
    has_message && value.as_object().is_some_and(|map| map.len() <= 4)
}

/// Decodes a file of `expected`, JSON or text: UTF-8, with or without a byte order mark. The error says what it holds instead.
fn decode<'a>(bytes: &'a [u8], expected: &str) -> core::result::Result<&'a str, String> {
    if let Some(format) = recognize(bytes) {
        return Err(format!("expected {expected}, got {format}"));
    }
    core::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).map_err(|_invalid| {
        let is_utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        let got = if is_utf_16 { "UTF-16" } else { "other bytes" };
        format!("expected {expected} in UTF-8, got {got}: save it as UTF-8")
    })
}

/// Reads a text file that the caller names; `code` is that of the error for a file that is no text.
///
/// # Errors
/// `source-unreadable`, and `code`.
pub fn read_text_file(path: &Path, code: &'static str) -> Result<String> {
    let bytes = read_file(path)?;
    let text = decode(&bytes, "text").map_err(|problem| Failure::new(code, problem).about_path(path))?;
    Ok(text.to_owned())
}

/// Decodes a file of a checkpoint. Files named `.json` are checked to be JSON.
///
/// # Errors
/// Naming the file and what it holds instead.
pub(super) fn read_text(name: &str, bytes: &[u8]) -> Result<String> {
    let expected = if name.ends_with(".json") { "JSON" } else { "text" };
    let text = decode(bytes, expected).map_err(|problem| invalid_content(name, problem))?;
    // a tokenizer.json may be large: it is parsed once, by the core, which names the position
    if name.ends_with(".json") && !name.ends_with("tokenizer.json") {
        let value = parse_json(name, text)?;
        let is_list = name.ends_with("modules.json");
        if value.is_array() != is_list || !(value.is_object() || value.is_array()) {
            let kind = if is_list { "array" } else { "object" };
            return Err(invalid_content(name, format!("expected a JSON {kind}, got {}", quote(text.trim()))));
        }
        if is_server_error(&value) {
            let got = quote(text.trim());
            return Err(invalid_content(name, format!("expected a file of a model, got a server's error: {got}")));
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_something_else_are_named() {
        for (name, bytes, code, expected) in [
            ("config.json", b"<!DOCTYPE html>".as_slice(), "invalid-config", "a web page"),
            ("config.json", b"{\"a\": 1,}", "invalid-config", "invalid JSON at line 1 column 9"),
            ("config.json", b"[]", "invalid-config", "expected a JSON object"),
            ("config.json", b"{\"error\": \"not found\"}", "invalid-config", "a server's error"),
            ("merges.txt", b"\xff\xfea\0", "invalid-tokenizer", "UTF-16"),
            ("vocab.json", b"", "invalid-tokenizer", "an empty file"),
        ] {
            let error = read_text(name, bytes).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(expected), "{error}");
        }
        assert_eq!(read_text("a.json", b"\xef\xbb\xbf{}").unwrap(), "{}");
        let pickle = check_safetensors("model.safetensors", b"\x80\x02}q\0.....").unwrap_err();
        assert!(pickle.code == "invalid-checkpoint" && pickle.message.contains("pickle"), "{pickle}");
        assert!(check_safetensors("a.safetensors", b"hello world").unwrap_err().message.contains("text that starts"));
    }
}
