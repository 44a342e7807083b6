//! Decodes captions, in the encoding that an editor or a spreadsheet saved them in.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::guess_encoding::guess_encoding;
use crate::exit::{Failure, Result};

/// Byte order marks, longer ones first.
const MARKS: [(&str, &[u8]); 5] = [
    ("utf-32be", &[0, 0, 0xfe, 0xff]),
    ("utf-32le", &[0xff, 0xfe, 0, 0]),
    ("UTF-8", &[0xef, 0xbb, 0xbf]),
    ("UTF-16BE", &[0xfe, 0xff]),
    ("UTF-16LE", &[0xff, 0xfe]),
];

/// A byte of a line that could not be decoded becomes two of the 32 noncharacters from here on, one for each half, as it becomes a lone
/// surrogate with Python's `surrogateescape`. Unicode keeps them for such use: text that is exchanged has none.
const UNDECODED: u32 = 0xfdd0;

/// Returns an encoding by its name in the [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels).
///
/// # Errors
/// `invalid-option`.
pub(super) fn encoding_of(name: Option<&str>) -> Result<&'static Encoding> {
    let Some(name) = name else { return Ok(UTF_8) };
    let known = Encoding::for_label(name.as_bytes()).filter(|&encoding| encoding != encoding_rs::REPLACEMENT);
    let expected = "the name of an encoding in the Encoding Standard, such as windows-1252 or shift_jis";
    known.ok_or_else(|| Failure::option("encoding", expected, name))
}

fn mark_of(bytes: &[u8]) -> Option<&'static str> {
    MARKS.iter().find(|(_, mark)| bytes.starts_with(mark)).map(|(name, _)| *name)
}

/// Whether an encoding has one byte a character.
fn is_narrow(encoding: &'static Encoding) -> bool {
    encoding.is_single_byte() && encoding != encoding_rs::X_USER_DEFINED
}

/// Decodes bytes; returns `None` where they are not valid in the encoding. Valid UTF-8 is decoded as UTF-8 also when an encoding of
/// one byte a character is asked for: data sets are mixed, and words of these encodings are hardly ever valid UTF-8.
pub(super) fn decode_as(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    if is_narrow(encoding)
        && let Some(text) = decode_as(bytes, UTF_8)
    {
        return Some(text);
    }
    let mark: &[u8] = match encoding {
        e if e == UTF_8 => &[0xef, 0xbb, 0xbf],
        e if e == UTF_16LE => &[0xff, 0xfe],
        e if e == UTF_16BE => &[0xfe, 0xff],
        _ => &[],
    };
    let bytes = bytes.strip_prefix(mark).unwrap_or(bytes);
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    // the decoder makes control characters of bytes that an encoding does not define
    let is_unicode = [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding);
    let undefined = |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{fffd}');
    (is_unicode || !text.contains(undefined)).then(|| text.into_owned())
}

fn not_text(bytes: &[u8], encoding: &str, marked: bool) -> Failure {
    let name = encoding.to_uppercase();
    let expected = format!("expected text in {name}{}", if marked { ", as its byte order mark says" } else { "" });
    let guess = guess_encoding(bytes).filter(|guess| !guess.eq_ignore_ascii_case(encoding));
    let got = guess.as_ref().map_or("got bytes that are not".to_owned(), |guess| format!("got probably {guess}"));
    let known = guess.filter(|guess| encoding_of(Some(guess)).is_ok());
    let advice =
        known.map_or("save it as UTF-8 or pass its --encoding".to_owned(), |name| format!("pass --encoding {name}"));
    Failure::dataset(format!("{expected}, {got}: {advice}"))
}

/// Decodes bytes by their byte order mark, or else in `encoding`. Never replaces bytes by U+FFFD.
///
/// # Errors
/// `invalid-dataset` for bytes of another encoding; the message names the likely one.
pub(super) fn decode_text(bytes: &[u8], encoding: Option<&str>) -> Result<String> {
    let mark = mark_of(bytes);
    if let Some(mark) = mark.filter(|mark| mark.starts_with("utf-32")) {
        return Err(Failure::dataset(format!("expected text in UTF-8 or UTF-16, got {mark}: save it as UTF-8")));
    }
    let said = encoding_of(mark.or(encoding))?;
    let is_utf_16 = mark.is_some_and(|mark| mark.starts_with("UTF-16"));
    match decode_as(bytes, said) {
        // ISO 2022 (escapes) and UTF-16 (zeros), decoded as UTF-8
        Some(text) if is_utf_16 || !(text.contains("\x1b$") || text.contains('\0')) => Ok(text),
        _ => Err(not_text(bytes, said.name(), mark.is_some())),
    }
}

/// The noncharacter of half a byte; the second half counts from 16.
fn half(number: &u32) -> Option<char> {
    char::from_u32(UNDECODED + number)
}

/// Splits bytes after each line break.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n' || byte == b'\r')
}

/// Decodes bytes line by line. [`undecoded`] finds what could not be decoded.
///
/// # Errors
/// `invalid-dataset` where lines cannot be told apart.
pub(super) fn decode_lines(bytes: &[u8], encoding: Option<&str>) -> Result<String> {
    let mark = mark_of(bytes);
    let wide = |name: &str| name.starts_with("utf-16") || name.starts_with("utf-32");
    let is_wide = match mark {
        Some(mark) => wide(&mark.to_lowercase()),
        None => wide(&encoding_of(encoding)?.name().to_lowercase()),
    };
    // in encodings of two or more bytes a unit the byte 0x0A alone is no line break
    if is_wide || lines(bytes).next().is_some_and(|line| line.contains(&0)) {
        return decode_text(bytes, encoding);
    }
    let said = encoding_of(mark.or(encoding))?;
    let whole = decode_as(bytes, if is_narrow(said) { UTF_8 } else { said });
    match whole {
        Some(text) if text.contains("\x1b$") => return Err(not_text(bytes, said.name(), false)),
        Some(text) => return Ok(text),
        None => {}
    }
    let escaped = |line: &[u8]| {
        let mut text = String::with_capacity(2 * line.len());
        for &byte in line {
            match byte {
                ..0x80 => text.push(char::from(byte)),
                _ => text.extend([u32::from(byte >> 4), 16 + u32::from(byte & 15)].iter().filter_map(half)),
            }
        }
        text
    };
    Ok(lines(bytes).map(|line| decode_as(line, said).unwrap_or_else(|| escaped(line))).collect())
}

/// Returns a message where one of the texts of [`decode_lines`] could not be decoded.
pub(super) fn undecoded<'a>(texts: impl IntoIterator<Item = &'a str>, encoding: Option<&str>) -> Option<String> {
    let half = |c: char| u32::from(c).wrapping_sub(UNDECODED);
    // both halves of a byte from 0x80 on; one half alone is a character of the text
    let is_lost = |(high, low): (char, char)| (8..16).contains(&half(high)) && (16..32).contains(&half(low));
    let text = texts.into_iter().find(|text| text.chars().zip(text.chars().skip(1)).any(is_lost))?;
    let mut bytes = Vec::new();
    for c in text.chars() {
        match half(c) {
            high @ 0..16 => bytes.push((high << 4) as u8),
            low @ 16..32 => bytes.last_mut().into_iter().for_each(|byte| *byte |= (low - 16) as u8),
            _ => bytes.push(u32::from(c) as u8),
        }
    }
    let name = encoding_of(encoding).map_or("UTF-8", Encoding::name);
    Some(not_text(&bytes, name, false).message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{base64, json};

    #[test]
    fn captions_in_every_encoding() {
        let encodings = json("captions/encodings.json");
        let plain = encodings["plain"].as_array().unwrap();
        assert!(plain.len() > 10);
        for case in plain {
            let (encoding, text) = (case["encoding"].as_str().unwrap(), case["text"].as_str().unwrap());
            let bytes = base64(case["bytes"].as_str().unwrap());
            // without its name an encoding is never taken for another one
            match decode_text(&bytes, None) {
                Ok(got) => assert_eq!(got, text, "{encoding}"),
                Err(error) => assert!(bytes != text.as_bytes() && error.code == "invalid-dataset", "{text}: {error}"),
            }
            if encoding_of(Some(encoding)).is_ok() {
                assert_eq!(decode_text(&bytes, Some(encoding)).ok().as_deref(), Some(text), "{encoding}");
            }
        }
    }

    #[test]
    fn one_line_in_another_encoding_spoils_no_other_line() {
        let text = decode_lines(b"a,caf\xe9\nb,th\xc3\xa9\n", None).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "b,thé");
        assert!(undecoded(rows[..1].iter().copied(), None).unwrap().contains("pass --encoding windows-1252"));
        assert_eq!(undecoded(rows[1..].iter().copied(), None), None);
        // characters for private use are text
        let private = decode_lines("a,caf\u{10ffe9}\nb,\u{e000} \u{fdd8}\n".as_bytes(), None).unwrap();
        assert_eq!(undecoded(private.lines(), None), None);
        assert_eq!(decode_lines(b"a,caf\xe9\nb,th\xc3\xa9\n", Some("latin1")).unwrap(), "a,café\nb,thé\n");
    }
}
