//! Recognizes image formats by first bytes and by extension.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::pattern::bytes_pattern;

/// Number of first bytes that tell the format: an SVG may begin with comments.
pub(super) const HEAD_BYTES: usize = 512;

/// Formats that the core decodes.
const DECODED: [&str; 5] = ["PNG", "JPEG", "WebP", "GIF", "BMP"];

/// The decoded formats, for messages.
pub(super) const DECODED_NAMES: &str = "PNG, JPEG, WebP, GIF or BMP";

/// Whether images of a format are decoded.
pub(super) fn is_decoded(format: &str) -> bool {
    DECODED.contains(&format)
}

/// A format, and its bytes at fixed places.
type Signature = (&'static str, &'static [(usize, &'static [u8])]);

/// The first match wins. BMP is in [`is_bmp`].
#[rustfmt::skip]
const SIGNATURES: &[Signature] = &[
    ("PNG", &[(0, b"\x89PNG\r\n\x1a\n")]),
    ("JPEG", &[(0, b"\xff\xd8\xff")]),
    ("GIF", &[(0, b"GIF87a")]),
    ("GIF", &[(0, b"GIF89a")]),
    ("WebP", &[(0, b"RIFF"), (8, b"WEBP")]),
    ("camera raw", &[(0, b"II*\0"), (8, b"CR")]),
    ("camera raw", &[(0, b"FUJIFILMCCD-RAW")]),
    ("camera raw", &[(0, b"IIRO")]),
    ("camera raw", &[(0, b"IIRS")]),
    ("camera raw", &[(0, b"MMOR")]),
    ("camera raw", &[(0, b"IIU\0")]),
    ("camera raw", &[(0, b"FOVb")]),
    ("camera raw", &[(0, b"\0MRM")]),
    ("TIFF", &[(0, b"II*\0")]),
    ("TIFF", &[(0, b"MM\0*")]),
    ("TIFF", &[(0, b"II+\0\x08\0")]),
    ("TIFF", &[(0, b"MM\0+\0\x08")]),
    ("JPEG XL", &[(0, b"\0\0\0\x0cJXL \r\n\x87\n")]),
    ("JPEG XL", &[(0, b"\xff\x0a")]),
    ("JPEG 2000", &[(0, b"\0\0\0\x0cjP  \r\n\x87\n")]),
    ("JPEG 2000", &[(0, b"\xff\x4f\xff\x51")]),
    ("JPEG XR", &[(0, b"II\xbc")]),
    ("ICO", &[(0, b"\0\0\x01\0"), (5, b"\0")]),
    ("TGA", &[(0, b"\0\0\x02\0\0\0\0\0")]),
    ("CUR", &[(0, b"\0\0\x02\0"), (5, b"\0"), (9, b"\0")]),
    ("ICNS", &[(0, b"icns")]),
    ("Photoshop", &[(0, b"8BPS\0")]),
    ("GIMP", &[(0, b"gimp xcf ")]),
    ("OpenEXR", &[(0, b"v/1\x01")]),
    ("Radiance HDR", &[(0, b"#?RADIANCE")]),
    ("Radiance HDR", &[(0, b"#?RGBE")]),
    ("DDS", &[(0, b"DDS |\0\0\0")]),
    ("KTX", &[(0, b"\xabKTX ")]),
    ("QOI", &[(0, b"qoif"), (4, b"\0"), (8, b"\0")]),
    ("farbfeld", &[(0, b"farbfeld")]),
    ("FLIF", &[(0, b"FLIF")]),
    ("BPG", &[(0, b"BPG\xfb")]),
    ("MNG", &[(0, b"\x8aMNG\r\n\x1a\n")]),
    ("JNG", &[(0, b"\x8bJNG\r\n\x1a\n")]),
    ("FITS", &[(0, b"SIMPLE  =")]),
    ("DICOM", &[(128, b"DICM")]),
    ("DjVu", &[(0, b"AT&TFORM")]),
    ("WMF", &[(0, b"\xd7\xcd\xc6\x9a")]),
    ("EMF", &[(0, b"\x01\0\0\0"), (40, b" EMF")]),
    ("Sun raster", &[(0, b"\x59\xa6\x6a\x95")]),
    ("SGI", &[(0, b"\x01\xda\0")]),
    ("SGI", &[(0, b"\x01\xda\x01")]),
    ("PCX", &[(0, b"\x0a\x05\x01")]),
    ("PCX", &[(0, b"\x0a\x03\x01")]),
    ("DCX", &[(0, b"\xb1\x68\xde\x3a")]),
    ("BLP", &[(0, b"BLP2")]),
    ("XPM", &[(0, b"/* XPM */")]),
];

/// With the size of its header: texts can begin with BM, too.
fn is_bmp(head: &[u8]) -> bool {
    head.starts_with(b"BM")
        && head.get(14).is_some_and(|size| [12, 16, 40, 52, 56, 64, 108, 124].contains(size))
        && head.get(15..18) == Some(&[0; 3])
}

/// Formats that are text.
static TEXTUAL: LazyLock<[(&str, Regex); 5]> = LazyLock::new(|| {
    [
        ("SVG", r"(?is-u)^(<\?xml[^>]*>|<!--([^-]|-[^-]|--+[^->])*--+>|<!doctype\s+svg[^>]*>|\s)*<(\w+:)?svg[\s>/]"),
        ("Netpbm", r"(?-u)^P[1-6]\s+(#[^\n]*\n\s*)*[0-9]+\s+(#[^\n]*\n\s*)*[0-9]+\s"),
        ("Netpbm", r"(?-u)^P7\s+(#|WIDTH|HEIGHT|DEPTH)"),
        ("PFM", r"(?-u)^P[Ff4]\n-?[0-9]+ -?[0-9]+\n"),
        ("XBM", r"(?s-u)^\s*(/\*.*?\*/\s*)?#define\s+\w*_?width\s+[0-9]"),
    ]
    .map(|(format, pattern)| (format, bytes_pattern(pattern)))
});

/// Format of a brand of an ISO base media file.
fn of_brand(brand: &[u8]) -> Option<(usize, &'static str)> {
    let formats: [(&str, &[&[u8]]); 6] = [
        ("AVIF", &[b"avif", b"avis", b"avio"]),
        ("HEIC", &[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"]),
        ("JPEG XL", &[b"jxl "]),
        ("JPEG 2000", &[b"jp2 ", b"jpx ", b"jpm ", b"jph "]),
        ("camera raw", &[b"crx "]),
        ("HEIF", &[b"mif1", b"mif2", b"msf1", b"miaf"]),
    ];
    let rank = formats.iter().position(|(_, brands)| brands.contains(&brand))?;
    Some((rank, formats[rank].0))
}

/// Finds a format by the brands in the first box of the file.
fn of_brands(head: &[u8]) -> Option<&'static str> {
    if head.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])).min(head.len());
    let others = head.get(16..length).unwrap_or_default().chunks_exact(4);
    let brands = head.get(8..12).into_iter().chain(others);
    brands.filter_map(of_brand).min().map(|(_, format)| format)
}

/// Returns the image format of first bytes, or `None` for other files.
pub(super) fn format_of(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let has = |&(at, part): &(usize, &[u8])| head.get(at..).is_some_and(|rest| rest.starts_with(part));
    if is_bmp(head) {
        return Some("BMP");
    }
    if let Some((format, _)) = SIGNATURES.iter().find(|(_, parts)| parts.iter().all(has)) {
        return Some(format);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    of_brands(head).or_else(|| TEXTUAL.iter().find(|(_, pattern)| pattern.is_match(text)).map(|(format, _)| *format))
}

/// Extensions of images: Pillow's, those of cameras and of design tools.
#[rustfmt::skip]
const EXTENSIONS: &[(&str, &str)] = &[
    ("PNG", "png apng"),
    ("JPEG", "jpg jpeg jpe jfif jif jfi mpo jps pjpeg pjp"),
    ("WebP", "webp"),
    ("GIF", "gif"),
    ("BMP", "bmp dib rle"),
    ("AVIF", "avif avifs"),
    ("HEIC", "heic heics"),
    ("HEIF", "heif heifs hif"),
    ("TIFF", "tif tiff btf"),
    ("JPEG XL", "jxl"),
    ("JPEG 2000", "jp2 j2k jpc jpf jpx j2c jpm jph"),
    ("JPEG XR", "jxr wdp hdp"),
    ("ICO", "ico"),
    ("CUR", "cur"),
    ("ICNS", "icns"),
    ("SVG", "svg svgz"),
    ("Photoshop", "psd psb"),
    ("GIMP", "xcf"),
    ("OpenEXR", "exr"),
    ("Radiance HDR", "hdr"),
    ("DDS", "dds"),
    ("KTX", "ktx ktx2"),
    ("QOI", "qoi"),
    ("farbfeld", "ff"),
    ("FLIF", "flif"),
    ("BPG", "bpg"),
    ("MNG", "mng"),
    ("JNG", "jng"),
    ("FITS", "fit fits"),
    ("DICOM", "dcm dicom"),
    ("DjVu", "djvu djv"),
    ("WMF", "wmf"),
    ("EMF", "emf"),
    ("Sun raster", "ras"),
    ("SGI", "sgi rgb rgba bw"),
    ("PCX", "pcx"),
    ("DCX", "dcx"),
    ("Netpbm", "pbm pgm ppm pnm pam"),
    ("PFM", "pfm"),
    ("XBM", "xbm"),
    ("XPM", "xpm"),
    ("TGA", "tga icb vda vst targa"),
    ("camera raw", "3fr ari arw cr2 cr3 crw dcr dcs dng erf fff iiq k25 kdc mef mos mrw nef nrw orf pef ptx raf raw rw2 rwl sr2 srf srw x3f"),
    ("BLP", "blp"),
    ("EPS", "eps"),
    ("Photo CD", "pcd"),
    ("PIXAR", "pxr"),
    ("FLI", "fli flc"),
    ("FTEX", "ftc ftu"),
    ("GIMP brush", "gbr"),
    ("IM", "im"),
    ("Microsoft Paint", "msp"),
    ("Palm", "palm"),
];

/// Returns the image format of an extension in lower case.
pub(super) fn format_of_extension(extension: &str) -> Option<&'static str> {
    let of = |(_, list): &&(&str, &str)| list.split(' ').any(|one| one == extension);
    EXTENSIONS.iter().find(of).map(|(format, _)| *format)
}

/// Extensions of other files, which are not opened: text, tables, arrays, archives, sound, video, programs.
const OTHERS: &str = "\
    txt text json jsonl jsn ndjson csv tsv md rst html htm xml xmp aae yaml yml toml ini cfg conf log lst pdf doc \
    docx odt xls xlsx ods ppt pptx parquet arrow feather npy npz pkl pickle pyd pt pth ckpt safetensors onnx h5 \
    hdf hdf5 mat mp msg msgpack cbor ten tb cls cls2 id index inx count transcript caption captions vtt srt db \
    sqlite zip tar gz tgz bz2 xz zst 7z rar lmdb mdb mp3 wav flac ogg m4a aac mp4 m4v mov avi mkv webm mpg mpeg \
    wmv py ipynb js mjs ts css sh bat cmd exe dll so url lnk";

/// Whether a file of an extension, in lower case, could be an image.
pub(super) fn could_be_image(extension: &str) -> bool {
    !OTHERS.split(' ').any(|other| other == extension)
}
