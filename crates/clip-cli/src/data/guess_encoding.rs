//! Guesses the encoding of bytes, for messages only: no text is decoded by a guess.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use super::decode_text::decode_as;

/// Guesses UTF-16 or UTF-32 by the zeros beside ASCII characters, whose side tells the byte order.
fn guess_wide(bytes: &[u8]) -> Option<&'static str> {
    let zeros_at = |at: usize| bytes.iter().skip(at).step_by(4).any(|&byte| byte == 0);
    let [a, b, c, d] = [0, 1, 2, 3].map(zeros_at);
    if b && c && a != d {
        return Some(if a { "utf-32be" } else { "utf-32le" });
    }
    let is_utf_16 = bytes.len().is_multiple_of(2) && (a || c) != (b || d);
    is_utf_16.then_some(if a || c { "utf-16be" } else { "utf-16le" })
}

/// Returns the name of the likely encoding, or `None` where none is likely.
pub(super) fn guess_encoding(bytes: &[u8]) -> Option<String> {
    if bytes.contains(&0) {
        return guess_wide(bytes).map(str::to_owned);
    }
    if bytes.windows(2).any(|pair| pair == b"\x1b$") {
        return Some("iso-2022-jp".into());
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    let encoding = detector.guess(None, Utf8Detection::Allow);
    decode_as(bytes, encoding).map(|_| encoding.name().to_lowercase())
}
