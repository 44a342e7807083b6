//! Recognizes files that are often found in place of a model's, by their first bytes.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::pattern::bytes_pattern;

/// Bytes from the start of a file that tell its format.
pub(super) const SIGNATURE_BYTES: usize = 512;

/// Starts of files that are often found in place of a model's, and what to do.
static SIGNATURES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let signatures = [
        (r"^$", "an empty file"),
        (
            r"^version https://(git-lfs|hawser)",
            "a Git LFS pointer, without the file: run git lfs pull, or download the file where it is published",
        ),
        (r"^/?(\.\./)*\.git/annex/", "a git-annex pointer, without the file: run git annex get"),
        (r"^(\.\./)+blobs/", "a link of the Hub's cache, copied as text: copy the file that it links to"),
        (
            r"(?i)^([\x80-\xff]{3})?\s*<(!doctype|html|head|body|script|!--|title|meta)",
            "a web page: log in first, or download the file instead of the page about it",
        ),
        (r"(?i)^([\x80-\xff]{3})?\s*<(\?xml|error|svg|\w+>)", "an XML document, such as a server's error"),
        (
            r"^PK(\x03\x04|\x05\x06|\x07\x08)",
            "a zip archive, as PyTorch's .bin and .pt files are: convert it to safetensors",
        ),
        (r"^\x1f[\x80-\xff]", "a gzip archive: unpack it"),
        (r"^BZh[0-9]", "a bzip2 archive: unpack it"),
        (r"^[\x80-\xff]7zXZ", "an xz archive: unpack it"),
        (r"^7z[\x80-\xff]{2}", "a 7z archive: unpack it"),
        (r"^\([\x80-\xff]/[\x80-\xff]", "a zstd archive: unpack it"),
        (r"^Rar!", "a RAR archive: unpack it"),
        (r"(?s)^.{257}ustar", "a tar archive: unpack it"),
        (r"^[\x80-\xff][\x02-\x05]([}c(\]X]|[\x80-\xff])", "a pickle, which can run code: convert it to safetensors"),
        (r"^GGUF", "a GGUF file, which is not supported"),
        (r"^[\x80-\xff]HDF", "an HDF5 file, which is not supported"),
        (r"^[\x80-\xff]NUMPY", "a NumPy file, which is not supported"),
        (r"^\x08[\x03-\x08\s]\x12", "an ONNX model, which is not supported"),
        (r"^%PDF", "a PDF"),
        (r"^([\x80-\xff]PNG|[\x80-\xff]{4}\x00|GIF8|RIFF)", "a picture"),
    ];
    signatures.map(|(pattern, what)| (bytes_pattern(&format!("(?-u){pattern}")), what)).into()
});

/// Names the format of a file by its start; `None` for every file that a model may consist of.
pub(super) fn recognize(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(SIGNATURE_BYTES)];
    SIGNATURES.iter().find(|(pattern, _)| pattern.is_match(head)).map(|(_, what)| *what)
}
