//! Checks that a WebP is complete, as libwebp does. `image-webp`, which decodes it, allocates as much as a chunk claims, and accepts
//! truncated frames.

/// Bytes of a chunk's header: its name and size.
const HEADER: usize = 8;
/// Bytes of an animation frame before its chunks.
const FRAME: usize = 16;

/// Returns the file up to the end that its header gives; later bytes are ignored. Checks that all chunks are inside it
/// (`WebPDemuxInternal` in <https://github.com/webmproject/libwebp/blob/v1.6.0/src/demux/demux.c>).
///
/// # Errors
/// A message that says how the file is damaged.
pub(super) fn whole(bytes: &[u8]) -> Result<&[u8], String> {
    let end = size(bytes.get(4..).unwrap_or_default()).map_or(u64::MAX, |size| size + HEADER as u64);
    let file = usize::try_from(end).ok().and_then(|end| bytes.get(..end)).ok_or_else(|| {
        let expected = if end == u64::MAX { String::new() } else { format!(" of {end}") };
        format!("a WebP that ends early, after {} bytes{expected}", bytes.len())
    })?;
    check(file.get(HEADER + 4..).unwrap_or_default(), None)?;
    Ok(file)
}

/// Checks the chunks of the file, or of a frame of that size.
fn check(mut chunks: &[u8], frame: Option<[u32; 2]>) -> Result<(), String> {
    let mut after_alpha = false;
    while !chunks.is_empty() {
        let room = chunks.len().saturating_sub(HEADER) as u64;
        let claims = size(chunks.get(4..).unwrap_or_default()).unwrap_or(u64::MAX);
        // chunks of odd size are padded by a byte
        let padded = claims.saturating_add(claims % 2);
        if padded > room {
            let name = String::from_utf8_lossy(&chunks[..chunks.len().min(4)]).trim_end().to_string();
            return Err(match claims {
                u64::MAX => format!("a damaged WebP: {} bytes where a chunk should begin", chunks.len()),
                _ => format!("a damaged WebP: its chunk {name:?} claims {claims} bytes, but {room} are left"),
            });
        }
        let (chunk, rest) = chunks.split_at(HEADER + padded as usize);
        let data = &chunk[HEADER..];
        if chunk.starts_with(b"ANMF") && frame.is_none() {
            let (size, chunks) = data.split_at_checked(FRAME).ok_or("a damaged WebP: a frame without an image")?;
            let side = |at: usize| 1 + u32::from_le_bytes([size[at], size[at + 1], size[at + 2], 0]);
            check(chunks, Some([side(6), side(9)]))?;
        }
        let lossy = chunk.starts_with(b"VP8 ");
        if after_alpha && !lossy {
            return Err("a damaged WebP: an alpha chunk without an image".into());
        }
        if let (true, Some([width, height])) = (lossy, frame) {
            let side = |at: usize| data.get(at..at + 2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])) & 0x3fff);
            if (side(6), side(8)) != (Some(width), Some(height)) {
                return Err(format!("a damaged WebP: a frame of {width}×{height} with an image of another size"));
            }
        }
        after_alpha = chunk.starts_with(b"ALPH");
        chunks = rest;
    }
    Ok(())
}

/// Reads a little-endian size.
fn size(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
}
