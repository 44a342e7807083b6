//! Whether a JPEG is whole, as Pillow finds it: `zune-jpeg`, which decodes it, paints what is missing gray and says nothing.

use std::borrow::Cow;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// The file as it is decoded: as it is, or, where nothing but its last marker is missing, with it.
///
/// libjpeg reads markers up to the one that ends the image; Pillow lets it run out of bytes where a marker has shown that the one
/// scan with all channels is over, and nowhere else (`ImagingJpegDecode` in
/// <https://github.com/python-pillow/Pillow/blob/13.0.0/src/libImaging/JpegDecode.c>). What is damaged between two markers is decoded as
/// far as it goes, here as there.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn whole(bytes: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    let early = "a JPEG that ends early, without its end-of-image marker";
    let (mut at, mut channels, mut in_whole_scan, mut scan_end) = (2, None, false, None);
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = after;
        // markers without a segment: restarts, which stand inside a scan, and one of arithmetic coding
        if matches!(marker, 0x01 | 0xd0..=0xd7) {
            continue;
        }
        if in_whole_scan && scan_end.is_none() {
            scan_end = Some(after - 2);
        }
        let segment = bytes.get(after..after + 2).map(|n| usize::from(u16::from_be_bytes([n[0], n[1]])));
        let segment = segment.and_then(|length| bytes.get(after..after + length.max(2)));
        match marker {
            END => return Ok(Cow::Borrowed(bytes)),
            START => return Err("a JPEG that begins anew before it has ended"),
            0x02..=0xbf => return Err("a JPEG with a marker that no JPEG has: damaged"),
            SCAN if scan_end.is_some() => return Err("a JPEG that has another scan after a whole one: damaged"),
            0xc9 | 0xca => {
                return Err("a JPEG with arithmetic coding, which is not decoded: save it as an ordinary one first");
            }
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf | 0xf7 => {
                return Err(
                    "a JPEG of a rare kind (lossless or hierarchical), which is not decoded: save it as an ordinary one first",
                );
            }
            // progressive ones refine in later scans what they have drawn: none is whole by itself
            0xc0..=0xc2 => channels = segment.and_then(|s| s.get(7)).copied().filter(|_| marker != 0xc2),
            SCAN => in_whole_scan = channels.is_some() && segment.and_then(|s| s.get(2)).copied() == channels,
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

/// The next marker from a place on, and the place behind it: past what is no marker (0xff, 0) and past fill bytes (0xff).
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes[at..].iter().position(|&byte| byte != 0xff)? + 1;
        if bytes[at - 1] != 0 {
            return Some((bytes[at - 1], at));
        }
    }
}
