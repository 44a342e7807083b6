//! Checks that a JPEG is complete, as Pillow does. `zune-jpeg`, which decodes it, fills missing pixels with gray without an error.

use std::borrow::Cow;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// Returns the file to decode, with its end-of-image marker appended if only that is missing.
///
/// libjpeg reads markers up to the end of the image. Pillow lets the bytes end earlier only after a marker that follows a complete
/// scan of all channels (`ImagingJpegDecode` in
/// <https://github.com/python-pillow/Pillow/blob/13.0.0/src/libImaging/JpegDecode.c>). Damaged data between two markers is
/// decoded as far as possible, here as there.
///
/// # Errors
/// A message that says how the file is damaged.
pub(super) fn whole(bytes: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    let early = "a JPEG that ends early, without its end-of-image marker";
    let (mut at, mut channels, mut in_full_scan, mut scan_end) = (2, None, false, None);
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = after;
        // markers without a segment: restarts, which are inside a scan, and TEM
        if matches!(marker, 0x01 | 0xd0..=0xd7) {
            continue;
        }
        if in_full_scan && scan_end.is_none() {
            scan_end = Some(after - 2);
        }
        let segment = bytes.get(after..after + 2).map(|n| usize::from(u16::from_be_bytes([n[0], n[1]])));
        let segment = segment.and_then(|length| bytes.get(after..after + length.max(2)));
        match marker {
            END => return Ok(Cow::Borrowed(bytes)),
            START => return Err("a damaged JPEG: a second start-of-image marker"),
            0x02..=0xbf => return Err("a damaged JPEG: a reserved marker"),
            SCAN if scan_end.is_some() => return Err("a damaged JPEG: a scan after a complete one"),
            0xc9 | 0xca => {
                return Err("a JPEG with arithmetic coding, which is not supported: save it as a baseline JPEG first");
            }
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf | 0xf7 => {
                return Err(
                    "a JPEG of a rare kind (lossless or hierarchical), which is not supported: save it as a baseline JPEG first",
                );
            }
            // no scan of a progressive JPEG is complete by itself: later scans refine it
            0xc0..=0xc2 => channels = segment.and_then(|s| s.get(7)).copied().filter(|_| marker != 0xc2),
            SCAN => in_full_scan = channels.is_some() && segment.and_then(|s| s.get(2)).copied() == channels,
            _ => {}
        }
        match segment {
            Some(segment) => at += segment.len(),
            None => break,
        }
    }
    let end = scan_end.ok_or(early)?;
    Ok(Cow::Owned([&bytes[..end], &[0xff, END]].concat()))
}

/// Returns the next marker and the offset after it, skipping stuffed bytes (0xff, 0) and fill bytes (0xff).
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff)? + 1;
        if bytes[at - 1] != 0 {
            return Some((bytes[at - 1], at));
        }
    }
}
