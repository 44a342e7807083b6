//! Names the format of a file that cannot be decoded, by its first bytes, and says what to do.

const CONVERT: &str = "convert it to PNG, JPEG or WebP first";
const UNPACK: &str = "unpack it first";
const NO_IMAGE: &str = "it is not an image";

/// Offset, bytes, format, what to do.
const MAGIC: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\xff\x0a", "JPEG XL", CONVERT),
    (4, b"JXL \r\n\x87\n", "JPEG XL", CONVERT),
    (4, b"jP  \r\n\x87\n", "JPEG 2000", CONVERT),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
    (8, b"CR\x02", "a camera's raw file (CR2)", CONVERT),
    (0, b"II*\0", "TIFF, or a camera's raw file,", CONVERT),
    (0, b"MM\0*", "TIFF, or a camera's raw file,", CONVERT),
    (0, b"II+\0", "TIFF", CONVERT),
    (0, b"MM\0+", "TIFF", CONVERT),
    (0, b"IIRO", "a camera's raw file (ORF)", CONVERT),
    (0, b"IIRS", "a camera's raw file (ORF)", CONVERT),
    (0, b"IIU\0", "a camera's raw file (RW2)", CONVERT),
    (0, b"FUJIFILM", "a camera's raw file (RAF)", CONVERT),
    (0, b"FOVb", "a camera's raw file (X3F)", CONVERT),
    (0, b"8BPS", "Photoshop (PSD)", CONVERT),
    (0, b"gimp xcf", "GIMP (XCF)", CONVERT),
    (0, b"\0\0\x01\0", "a Windows icon (ICO)", CONVERT),
    (0, b"\0\0\x02\0", "a Windows cursor (CUR)", CONVERT),
    (0, b"icns", "an Apple icon (ICNS)", CONVERT),
    (0, b"v/1\x01", "OpenEXR", CONVERT),
    (0, b"#?RADIANCE", "Radiance HDR", CONVERT),
    (0, b"DDS ", "DirectDraw (DDS)", CONVERT),
    (0, b"qoif", "QOI", CONVERT),
    (0, b"farbfeld", "farbfeld", CONVERT),
    (0, b"II\xbc\x01", "JPEG XR", CONVERT),
    (0, b"\xabKTX ", "KTX", CONVERT),
    (0, b"SIMPLE  =", "FITS", CONVERT),
    (0, b"P5\n", "Netpbm (PGM)", CONVERT),
    (0, b"P6\n", "Netpbm (PPM)", CONVERT),
    (0, b"P7\n", "Netpbm (PAM)", CONVERT),
    (0, b"BPG\xfb", "BPG", CONVERT),
    (0, b"\x8aMNG", "MNG", CONVERT),
    (0, b"\x8bJNG", "JNG", CONVERT),
    (128, b"DICM", "DICOM", CONVERT),
    (0, b"AT&TFORM", "DjVu", CONVERT),
    (40, b" EMF", "a Windows metafile (EMF)", CONVERT),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", CONVERT),
    (0, b"%PDF", "PDF", "save its page as PNG first"),
    (0, b"%!PS", "PostScript", "save its page as PNG first"),
    (8, b"AVI ", "a video (AVI)", "extract a frame first"),
    (0, b"\x1aE\xdf\xa3", "a video (WebM or Matroska)", "extract a frame first"),
    (
        0,
        b"\0\x05\x16\x07",
        "an AppleDouble file, which macOS puts beside an image (its name begins with ._),",
        NO_IMAGE,
    ),
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"\x1f\x8b", "gzip", UNPACK),
    (0, b"BZh", "bzip2", UNPACK),
    (0, b"\xfd7zXZ", "xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard", UNPACK),
    (0, b"7z\xbc\xaf", "a 7z archive", UNPACK),
    (0, b"Rar!", "a RAR archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"PAR1", "Parquet", "extract its images first"),
    (0, b"\x93NUMPY", "a NumPy array", "give its values as { data, width, height }"),
    (0, b"data:image/", "a data: address", "give it as text, not as bytes"),
    (0, b"iVBORw0KGgo", "base64 text (of a PNG)", "decode it to bytes first"),
    (0, b"/9j/", "base64 text (of a JPEG)", "decode it to bytes first"),
    (0, b"UklGR", "base64 text (of a WebP)", "decode it to bytes first"),
    (0, b"R0lGOD", "base64 text (of a GIF)", "decode it to bytes first"),
];

/// Brands of the ISO base media file format (MP4's), and the formats that they mean.
const BRANDS: &[(&[u8], &str)] = &[
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"crx ", "a camera's raw file (CR3)"),
    (b"hei", "HEIC (HEIF)"),
    (b"hev", "HEIC (HEIF)"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
];

/// Returns the format's name and advice, to follow "N bytes of".
pub(super) fn describe(bytes: &[u8]) -> String {
    let (name, advice) = identify(bytes);
    format!("{name}: {advice}")
}

fn identify(bytes: &[u8]) -> (&'static str, &'static str) {
    if bytes.get(4..8) == Some(b"ftyp") {
        // the major brand, a version, the compatible brands
        let brands = || bytes.get(8..bytes.len().min(64)).unwrap_or_default().chunks_exact(4);
        let known = BRANDS.iter().find(|(brand, _)| brands().any(|found| found.starts_with(brand)));
        return known.map_or(("a video (MP4 or QuickTime)", "extract a frame first"), |&(_, name)| (name, CONVERT));
    }
    let magic = |&&(at, magic, ..): &&(usize, &[u8], &str, &str)| bytes.get(at..).is_some_and(|b| b.starts_with(magic));
    if let Some(&(_, _, name, advice)) = MAGIC.iter().find(magic) {
        return (name, advice);
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return ("nothing but zeros", "download or copy it again");
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let start = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    // an SVG may follow an XML declaration and comments; a web page may contain one
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| start.starts_with(tag)) {
        return ("a web page (HTML)", "its address is not the image's, or requires a login");
    }
    if start.starts_with('<') && text.contains("<svg") {
        return ("SVG, which has no pixels", CONVERT);
    }
    if start.starts_with('<') {
        return ("XML or HTML", NO_IMAGE);
    }
    // the last character may be truncated
    let cut = text.trim_end_matches('\u{fffd}');
    if !cut.is_empty() && !cut.chars().any(|c| c == '\u{fffd}' || (c.is_control() && !c.is_ascii_whitespace())) {
        return (if start.starts_with(['{', '[']) { "JSON" } else { "text" }, NO_IMAGE);
    }
    ("an unknown format", CONVERT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_are_not_decoded_are_named() {
        let container = |brands: &str| [b"\0\0\0\x20ftyp", brands.as_bytes()].concat();
        let zip = b"PK\x03\x04\x14\0";
        let tar = [vec![b'a'; 257], b"ustar".to_vec()].concat();
        let cases: [(&[u8], &str); 33] = [
            (&container("avif\0\0\0\0avifmif1"), "AVIF: convert it"),
            (&container("mif1\0\0\0\0mif1avif"), "AVIF: convert it"),
            (&container("heic\0\0\0\0mif1heic"), "HEIC"),
            (&container("mif1\0\0\0\0mif1"), "HEIF: convert it"),
            (&container("crx \0\0\0\x01crx isom"), "CR3"),
            (&container("isom\0\0\x02\0isomiso2"), "a video (MP4"),
            (&container(""), "a video"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"MM\0*\0\0\0\x08", "TIFF"),
            (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
            (b"\xff\x0a\0\0", "JPEG XL"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"8BPS\0\x01", "PSD"),
            (b"\0\0\x01\0\x01\0", "ICO"),
            (b"%PDF-1.7", "PDF"),
            (b"v/1\x01\x02\0", "OpenEXR"),
            (b"qoif\0\0", "QOI"),
            (zip, "zip archive: unpack"),
            (&tar, "tar archive"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
            (b"\n <!DOCTYPE html><html><body><svg></svg>", "web page"),
            (b"\xef\xbb\xbf<html>", "web page"),
            (b"<?xml version='1.0'?><!-- a --><svg xmlns='x'/>", "SVG, which has no pixels: convert"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "XML or HTML"),
            (b"{\"error\": \"not found\"}", "JSON"),
            (b"not an image", "text"),
            ("Kr\u{e4}he".as_bytes(), "text"),
            (b"iVBORw0KGgoAAAANSUhEUg", "base64 text (of a PNG)"),
            (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "AppleDouble"),
            (&[0; 4096], "nothing but zeros"),
            (b"\x01\x02\x03\x04", "an unknown format"),
            (b"\x93NUMPY\x01\0", "NumPy"),
        ];
        for (bytes, name) in cases {
            let got = describe(bytes);
            assert!(got.contains(name), "{:?}: {got}", String::from_utf8_lossy(bytes));
        }
    }
}
