//! `ftfy.fix_text` 6.3 with its default settings, the first step of OpenAI's and OpenCLIP's tokenizers: fixes mojibake, entities,
//! ligatures, widths, quotes, line breaks and control characters; NFC.
//!
//! Ported from ftfy (Apache-2.0, Robyn Speer): <https://github.com/rspeer/python-ftfy/tree/v6.3.1>.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::ftfy_tables::{CHARMAPS, LIGATURES};
use super::html;
use super::pattern::{Pattern, pattern};

static BAD: Pattern = pattern!("badness");
static DETECTOR: Pattern = pattern!("utf8_detector");
static CONTINUATION: Pattern = pattern!("utf8_continuation");
static ENTITY: Pattern = pattern!("entity");
static TERMINAL_ESCAPE: Pattern = pattern!("terminal_escape");

/// Fixes each line. From the first line with `<` on, entities are kept, as they may be markup.
pub(super) fn fix_text(text: &str) -> String {
    let mut entities = true;
    text.split_inclusive('\n')
        .map(|line| {
            entities &= !line.contains('<');
            fix_line(line, entities)
        })
        .collect()
}

fn fix_line(line: &str, entities: bool) -> String {
    let mut text = line.to_owned();
    loop {
        let mut fixed = text.clone();
        if entities && fixed.contains('&') {
            fixed = ENTITY
                .replace_all(&fixed, |found| html::decode_unambiguous(found).unwrap_or_else(|| found.into()))
                .into_owned();
        }
        fixed = fix_encoding(fixed);
        fixed = fixed.chars().map(c1_to_windows_1252).collect();
        fixed = replace_characters(&fixed);
        fixed = fixed.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        fixed = TERMINAL_ESCAPE.replace_all(&fixed, |_| String::new()).into_owned();
        fixed.retain(|c| !is_unintended_control(c));
        fixed = fixed.nfc().collect();
        if fixed == text {
            return text;
        }
        text = fixed;
    }
}

/// Replaces ligatures, half- and full-width characters, and curly quotes.
fn replace_characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match LIGATURES.iter().find(|(ligature, _)| *ligature == c) {
            Some((_, letters)) => out.push_str(letters),
            None => match c {
                '\u{3000}' => out.push(' '),
                '\u{ff01}'..='\u{ffef}' => out.extend(core::iter::once(c).nfkc()),
                _ => out.push(c),
            },
        }
    }
    let straight = |c| match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => c,
    };
    out.chars().map(straight).collect()
}

fn is_unintended_control(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}')
}

fn c1_to_windows_1252(c: char) -> char {
    match c {
        '\u{80}'..='\u{9f}' => CHARMAPS[1].1.chars().nth(c as usize - 0x80).unwrap_or(c),
        _ => c,
    }
}

fn is_bad(text: &str) -> bool {
    BAD.is_match(text)
}

fn fix_encoding(mut text: String) -> String {
    loop {
        let fixed = fix_encoding_once(&text);
        if fixed == text {
            return text;
        }
        text = fixed;
    }
}

fn fix_encoding_once(text: &str) -> String {
    if text.is_ascii() || !is_bad(text) {
        return text.to_owned();
    }
    for (name, upper) in CHARMAPS {
        let Some(mut bytes) = encode(text, name, upper) else { continue };
        if name != "macroman" {
            bytes = restore_byte_a0(bytes);
        }
        if name.starts_with("sloppy") {
            bytes = replace_lossy_sequences(&bytes);
        }
        let decoded = if bytes.contains(&0xed) || bytes.contains(&0xc0) {
            decode_utf8_variants(&bytes)
        } else {
            String::from_utf8(bytes).ok()
        };
        if let Some(fixed) = decoded {
            return fixed;
        }
    }
    let fixed = decode_inconsistent_utf8(text);
    if fixed != text {
        return fixed;
    }
    text.chars().map(c1_to_windows_1252).collect()
}

/// Encodes a text in a single-byte encoding; `None` if that lacks a character. Sloppy encodings have 0x1A for U+FFFD.
fn encode(text: &str, name: &str, upper: &str) -> Option<Vec<u8>> {
    let sloppy = name.starts_with("sloppy");
    text.chars()
        .map(|c| match c {
            '\u{1a}' if sloppy => None,
            '\u{fffd}' if sloppy => Some(0x1a),
            '\0'..='\u{7f}' => Some(c as u8),
            _ => upper.chars().position(|u| u == c).map(|i| (0x80 + i) as u8),
        })
        .collect()
}

fn is_continuation(byte: u8) -> bool {
    (0x80..=0xbf).contains(&byte)
}

/// Restores the byte A0 where a space replaced it in UTF-8 (`ftfy.fixes.restore_byte_a0`).
fn restore_byte_a0(bytes: Vec<u8>) -> Vec<u8> {
    if !(0..bytes.len()).any(|i| altered_utf8(&bytes[i..]).is_some()) {
        return bytes;
    }
    // "Ã la" is "à la": keep the space, but not before the Portuguese àquele, àquela, àquilo, às
    let mut restored = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"\xc3 ") {
            let rest = &bytes[i + 2..];
            let joined: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
            if !joined.iter().any(|word| rest.starts_with(word)) {
                restored.extend(b"\xc3\xa0 ");
                i += 2;
                continue;
            }
        }
        restored.push(bytes[i]);
        i += 1;
    }
    let mut i = 0;
    while i < restored.len() {
        match altered_utf8(&restored[i..]) {
            Some(length) => {
                restored[i..i + length].iter_mut().filter(|b| **b == b' ').for_each(|b| *b = 0xa0);
                i += length;
            }
            None => i += 1,
        }
    }
    restored
}

/// Length of a UTF-8 sequence at the start in which a space replaced A0 (`ftfy.chardata.ALTERED_UTF8_RE`).
fn altered_utf8(bytes: &[u8]) -> Option<usize> {
    let likely = |b: u8| is_continuation(b) && b != 0x85 && b != 0xa0;
    match *bytes {
        [0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9, b' ', ..] => Some(2),
        [0xe2 | 0xe3, b' ', c, ..] if likely(c) => Some(3),
        [0xe0..=0xe3, b, b' ', ..] if likely(b) => Some(3),
        [0xf0, b' ', c, d, ..] if is_continuation(c) && is_continuation(d) => Some(4),
        [0xf0, b, b' ', d, ..] if is_continuation(b) && is_continuation(d) => Some(4),
        [0xf0, b, c, b' ', ..] if is_continuation(b) && is_continuation(c) => Some(4),
        _ => None,
    }
}

/// Replaces UTF-8 sequences with lost bytes by U+FFFD (`ftfy.fixes.replace_lossy_sequences`).
fn replace_lossy_sequences(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match lossy_utf8(&bytes[i..]) {
            Some(length) => {
                out.extend("\u{fffd}".as_bytes());
                i += length;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    out
}

/// Length of a UTF-8 sequence at the start with lost bytes (`ftfy.chardata.LOSSY_UTF8_RE`).
fn lossy_utf8(bytes: &[u8]) -> Option<usize> {
    let lost = |b: u8| b == 0x1a || b == b'?';
    let some = |b: u8| b == 0x1a || is_continuation(b);
    match *bytes {
        [0xc2..=0xdf, 0x1a, ..] | [0xc2 | 0xc3, b'?', ..] => Some(2),
        [0xed, 0xa0..=0xaf, c, 0xed, 0xb0..=0xbf, f, ..] if cesu_8_lost(c, f) => Some(6),
        [0xe0..=0xef, b, c, ..] if (lost(b) && some(c)) || (some(b) && lost(c)) => Some(3),
        [0xf0..=0xf4, b, c, d, ..]
            if (lost(b) && some(c) && some(d))
                || (some(b) && lost(c) && some(d))
                || (some(b) && some(c) && lost(d)) =>
        {
            Some(4)
        }
        [0x1a, ..] => Some(1),
        _ => None,
    }
}

/// Whether a surrogate pair in CESU-8 lost the last byte of either half.
fn cesu_8_lost(c: u8, f: u8) -> bool {
    let lost = |b: u8| b == 0x1a || b == b'?';
    let any = |b: u8| lost(b) || is_continuation(b);
    (lost(c) && any(f)) || (any(c) && lost(f))
}

/// Decodes UTF-8, CESU-8 (surrogates encoded separately) and Java's two-byte null.
fn decode_utf8_variants(bytes: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut plain = 0;
    let mut i = 0;
    while i < bytes.len() {
        let (text, length) = match bytes[i..] {
            [0xc0, 0x80, ..] => ('\0', 2),
            [0xed, b @ 0xa0..=0xaf, c, 0xed, e @ 0xb0..=0xbf, f, ..] if is_continuation(c) && is_continuation(f) => {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = bits(b, 0x0f, 16) + bits(c, 0x3f, 10) + bits(e, 0x0f, 6) + bits(f, 0x3f, 0) + 0x1_0000;
                (char::from_u32(code)?, 6)
            }
            _ => {
                i += 1;
                continue;
            }
        };
        out.push_str(core::str::from_utf8(&bytes[plain..i]).ok()?);
        out.push(text);
        i += length;
        plain = i;
    }
    out.push_str(core::str::from_utf8(&bytes[plain..]).ok()?);
    Some(out)
}

/// Fixes mojibake in parts of a text (`ftfy.fixes.decode_inconsistent_utf8`).
fn decode_inconsistent_utf8(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut from) = (0, 0);
    while let Some(found) = DETECTOR.find_at(text, from) {
        let before = text[..found.start].char_indices().next_back().map_or(0, |(i, _)| i);
        if CONTINUATION.is_match(&text[before..found.start]) {
            // look-behind: a match may not start here, so try the next character
            from = found.start + text[found.start..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        out.push_str(&text[copied..found.start]);
        let part = &text[found.clone()];
        let fixed: Cow<'_, str> =
            if part.len() < text.len() && is_bad(part) { fix_encoding(part.to_owned()).into() } else { part.into() };
        out.push_str(&fixed);
        copied = found.end;
        from = found.end;
    }
    out.push_str(&text[copied..]);
    out
}

/// Fixes a character's UTF-8 that was decoded as Windows-1252.
#[cfg(test)]
pub(crate) fn fix_mojibake_of(c: char) -> String {
    let upper: Vec<char> = CHARMAPS[1].1.chars().collect();
    let utf8 = c.to_string().into_bytes();
    let broken = utf8.into_iter().map(|b| if b < 0x80 { b as char } else { upper[usize::from(b) - 0x80] });
    fix_text(&broken.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::fix_text;

    #[test]
    fn examples_of_ftfys_documentation() {
        for (broken, fixed) in [
            ("âœ” No problems", "✔ No problems"),
            ("l’humanitÃ©", "l'humanité"),
            ("&macr;\\_(ã\u{83}\u{84})_/&macr;", "¯\\_(ツ)_/¯"),
            ("ＬＯＵＤ　ＮＯＩＳＥＳ", "LOUD NOISES"),
            ("voilÃ le travail", "voilà le travail"),
            ("Ã a lado", "à a lado"),
            ("P&EACUTE;REZ", "PÉREZ"),
            ("<em>&eacute;</em>", "<em>&eacute;</em>"),
            ("plain text, cafés and Åland", "plain text, cafés and Åland"),
        ] {
            assert_eq!(fix_text(broken), fixed);
        }
    }
}
