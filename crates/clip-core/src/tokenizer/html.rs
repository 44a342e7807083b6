//! HTML character references, as in Python's `html.unescape`; names by the `htmlize` crate.

use std::borrow::Cow;

use super::pattern::{Pattern, pattern};

static REFERENCE: Pattern = pattern!("html_reference");

/// `html.unescape`: with or without a semicolon, the longest name wins.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    REFERENCE.replace_all(text, decode)
}

/// Decodes one reference, which starts with `&`.
pub(super) fn decode(found: &str) -> String {
    match found.strip_prefix("&#") {
        Some(digits) => numeric(digits.trim_end_matches(';')),
        None => htmlize::unescape(found).into_owned(),
    }
}

/// Decodes a reference as ftfy does: only with a semicolon; also the upper-case names of letters. `None` for any other.
pub(super) fn decode_unambiguous(found: &str) -> Option<String> {
    let whole = |found: &str| {
        let text = decode(found);
        // a remaining semicolon means that at most a part was decoded
        (text != found && (!text.ends_with(';') || found == "&semi;")).then_some(text)
    };
    whole(found).or_else(|| {
        let lower = found.to_lowercase();
        (!found.starts_with("&#") && found == found.to_uppercase() && decode(found) == found)
            .then(|| whole(&lower).map(|text| text.to_uppercase()))
            .flatten()
    })
}

/// Decodes a number as browsers do, but non-characters to nothing: CPython's `html._replace_charref`.
fn numeric(digits: &str) -> String {
    const C1: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
        '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    match code.unwrap_or(u32::MAX) {
        0 => "\u{fffd}".into(),
        0x0d => "\r".into(),
        code @ 0x80..=0x9f => C1[code as usize - 0x80].to_string(),
        0x1..=0x8 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => String::new(),
        code if code <= 0x10_ffff && code & 0xfffe == 0xfffe => String::new(),
        code => char::from_u32(code).unwrap_or('\u{fffd}').into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_are_optional_and_the_longest_name_wins() {
        for (escaped, text) in [
            ("&amp;", "&"),
            ("&amp b", "& b"),
            ("&notit;", "¬it;"),
            ("&notin;", "∉"),
            ("&#39;s", "'s"),
            ("&#x1F600;", "😀"),
            ("&#150;", "–"),
            ("&#xD800;", "\u{fffd}"),
            ("&#1;", ""),
            ("&#99999999999;", "\u{fffd}"),
            ("&nosuch;", "&nosuch;"),
        ] {
            assert_eq!(unescape(escaped), text, "{escaped}");
        }
    }

    #[test]
    fn ftfy_decodes_upper_case_letters_and_only_whole_references() {
        assert_eq!(decode_unambiguous("&EACUTE;").as_deref(), Some("É"));
        assert_eq!(decode_unambiguous("&notit;"), None);
        assert_eq!(decode_unambiguous("&semi;").as_deref(), Some(";"));
        assert_eq!(decode_unambiguous("&nTILDE;"), None);
    }
}
