//! Tells by the first bytes of a file what it is.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::image_format::{DECODED_NAMES, HEAD_BYTES, format_of, format_of_extension, is_decoded};
use crate::pattern::bytes_pattern;

/// Files often found in place of an image or an archive, by their first bytes.
const SIGNATURES: &[(&str, &[&[u8]])] = &[
    ("a zip archive", &[b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"]),
    ("a gzip archive", &[b"\x1f\x8b"]),
    ("a bzip2 archive", &[b"BZh"]),
    ("an xz archive", &[b"\xfd7zXZ\0"]),
    ("a Zstandard archive", &[b"\x28\xb5\x2f\xfd"]),
    ("an LZ4 archive", &[b"\x04\x22\x4d\x18"]),
    ("a 7z archive", &[b"7z\xbc\xaf\x27\x1c"]),
    ("a RAR archive", &[b"Rar!\x1a\x07"]),
    ("a Parquet table", &[b"PAR1"]),
    ("an Arrow table", &[b"ARROW1"]),
    ("an Excel workbook of before 2007", &[b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]),
    ("an SQLite database", &[b"SQLite format 3\0"]),
    ("an HDF5 file", &[b"\x89HDF\r\n\x1a\n"]),
    ("a NumPy array", &[b"\x93NUMPY"]),
    ("a PDF document", &[b"%PDF-"]),
    ("a PostScript document", &[b"%!PS", b"\xc5\xd0\xd3\xc6"]),
    ("a video", &[b"\x1aE\xdf\xa3", b"\0\0\x01\xb3", b"\0\0\x01\xba"]),
    ("a Git LFS pointer (`git lfs pull` fetches its file)", &[b"version https://git-lfs.github.com/spec"]),
];

/// Files without a fixed beginning.
static PATTERNS: LazyLock<[(&str, Regex); 4]> = LazyLock::new(|| {
    [
        ("a video", r"(?s-u)^(.{4}ftyp|RIFF.{4}AVI )"),
        (
            "a web page",
            r"(?is-u)^\s*(<!--([^-]|-[^-]|--+[^->])*--+>\s*)*<(!doctype\s+html|html|head|body|title|script)\b",
        ),
        ("XML", r"(?-u)^\s*<\?xml\b"),
        ("JSON", r#"(?-u)^\s*[{\[]\s*["{\[\]}0-9]"#),
    ]
    .map(|(what, pattern)| (what, bytes_pattern(pattern)))
});

/// Whether bytes are words separated by spaces, without control characters.
fn is_text(head: &[u8]) -> bool {
    let control = |byte: &u8| (*byte < 0x20 && !(9..=13).contains(byte)) || *byte == 0x7f;
    let blank = |byte: &u8| matches!(byte, 9..=13 | b' ');
    !head.iter().any(control) && head.split(blank).filter(|word| !word.is_empty()).nth(1).is_some()
}

/// Describes a file by its first bytes, or returns `None` where they do not tell.
pub(super) fn content_of(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    if head.is_empty() {
        return Some("an empty file".into());
    }
    if let Some(format) = format_of(head) {
        return Some(format!("an image in the format {format}"));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let begins = |beginnings: &[&[u8]]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    let signed = SIGNATURES.iter().find(|(_, beginnings)| begins(beginnings)).map(|(what, _)| *what);
    let found = signed.or_else(|| PATTERNS.iter().find(|(_, pattern)| pattern.is_match(text)).map(|(what, _)| *what));
    found.or_else(|| is_text(text).then_some("text")).map(str::to_owned)
}

/// Result of inspecting a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inspection {
    /// Whether it is an image by its first bytes or its extension.
    pub(super) is_image: bool,
    /// Why it cannot be decoded.
    pub(super) problem: Option<String>,
}

/// Inspects a file by its first bytes, and by its extension where they do not tell.
pub(super) fn inspect(head: &[u8], extension: &str) -> Inspection {
    let found = format_of(head);
    let Some(format) = found.or_else(|| format_of_extension(extension)) else { return Inspection::default() };
    let content = if found.is_none() { content_of(head) } else { None };
    // unknown bytes are left to the decoder, whose error is better
    if content.is_none() && is_decoded(format) {
        return Inspection { is_image: true, problem: None };
    }
    let got = content.unwrap_or_else(|| format!("{format}, which cannot be decoded here"));
    Inspection { is_image: true, problem: Some(format!("expected an image ({DECODED_NAMES}), got {got}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_end_where_they_do_in_html() {
        for (text, content) in [
            ("<!-- a --><svg>", "an image in the format SVG"),
            ("<!-- a ---><svg>", "an image in the format SVG"),
            ("<!----><svg/>", "an image in the format SVG"),
            ("<!-- a -- b - c --> <!-- d --><html>", "a web page"),
            ("<!-- a ---> <p> <!-- b --><html>", "text"),
            ("<?XML version", "text"),
            ("<?xml version", "XML"),
            ("two\u{b}words", "text"),
        ] {
            assert_eq!(content_of(text.as_bytes()).as_deref(), Some(content), "{text}");
        }
    }
}
