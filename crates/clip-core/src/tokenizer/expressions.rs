//! The tokenizer's regular expressions, by name. `build.rs` compiles them to automata, which [`super::pattern`] runs.

use super::ftfy_expressions::{BADNESS, UTF8_CONTINUATION_STRICT, UTF8_DETECTOR};

pub(crate) const EXPRESSIONS: [(&str, &str); 10] = [
    // letters; a digit; other characters but white space
    ("word", r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"),
    // tried first: contractions, and special tokens spelled out
    ("hf", r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"),
    ("open_clip", "(?i)<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d"),
    ("open_ai", r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"),
    ("html_reference", r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)"),
    ("entity", "&#?[0-9A-Za-z]{1,24};"),
    ("terminal_escape", r"\x1b\[(?:\d|;)*[a-zA-Z]"),
    ("badness", BADNESS),
    ("utf8_detector", UTF8_DETECTOR),
    ("utf8_continuation", UTF8_CONTINUATION_STRICT),
];
