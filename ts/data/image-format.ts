/** Recognizes image formats by first bytes and by extension. */

import { drawsImages } from "#place";

/** Number of first bytes that tell the format: an SVG may begin with comments. */
export const HEAD_BYTES = 512;

/** Formats that the core decodes. */
const DECODED: ReadonlySet<string> = new Set(["PNG", "JPEG", "WebP", "GIF", "BMP"]);

/** Formats that some browsers decode; `workers/loading/images.ts` tries. */
const PLATFORMS_OWN: ReadonlySet<string> = new Set(["AVIF", "HEIC", "HEIF", "JPEG XL", "TIFF"]);

/** Whether images of a format may be decoded here. */
export const isDecoded = (format: string) => DECODED.has(format) || (drawsImages && PLATFORMS_OWN.has(format));

/** The decoded formats, for messages. */
export const DECODED_NAMES = "PNG, JPEG, WebP, GIF or BMP";

/** Bytes at fixed places of each format, as Latin-1. The first match wins. */
const SIGNATURES: readonly [format: string, ...parts: [at: number, bytes: string][]][] = [
  ["PNG", [0, "\x89PNG\r\n\x1a\n"]],
  // MPO too, which is a JPEG
  ["JPEG", [0, "\xff\xd8\xff"]],
  ["GIF", [0, "GIF87a"]],
  ["GIF", [0, "GIF89a"]],
  ["WebP", [0, "RIFF"], [8, "WEBP"]],
  // with the size of its header: texts can begin with BM, too
  ...[12, 16, 40, 52, 56, 64, 108, 124].map((size): [string, ...[number, string][]] => [
    "BMP",
    [0, "BM"],
    [14, `${String.fromCharCode(size)}\0\0\0`],
  ]),
  ["camera raw", [0, "II*\0"], [8, "CR"]],
  ["camera raw", [0, "FUJIFILMCCD-RAW"]],
  ["camera raw", [0, "IIRO"]],
  ["camera raw", [0, "IIRS"]],
  ["camera raw", [0, "MMOR"]],
  ["camera raw", [0, "IIU\0"]],
  ["camera raw", [0, "FOVb"]],
  ["camera raw", [0, "\0MRM"]],
  ["TIFF", [0, "II*\0"]],
  ["TIFF", [0, "MM\0*"]],
  ["TIFF", [0, "II+\0\x08\0"]],
  ["TIFF", [0, "MM\0+\0\x08"]],
  ["JPEG XL", [0, "\0\0\0\x0cJXL \r\n\x87\n"]],
  ["JPEG XL", [0, "\xff\x0a"]],
  ["JPEG 2000", [0, "\0\0\0\x0cjP  \r\n\x87\n"]],
  ["JPEG 2000", [0, "\xff\x4f\xff\x51"]],
  ["JPEG XR", [0, "II\xbc"]],
  ["ICO", [0, "\0\0\x01\0"], [5, "\0"]],
  ["TGA", [0, "\0\0\x02\0\0\0\0\0"]],
  ["CUR", [0, "\0\0\x02\0"], [5, "\0"], [9, "\0"]],
  ["ICNS", [0, "icns"]],
  ["Photoshop", [0, "8BPS\0"]],
  ["GIMP", [0, "gimp xcf "]],
  ["OpenEXR", [0, "v/1\x01"]],
  ["Radiance HDR", [0, "#?RADIANCE"]],
  ["Radiance HDR", [0, "#?RGBE"]],
  ["DDS", [0, "DDS |\0\0\0"]],
  ["KTX", [0, "\xabKTX "]],
  ["QOI", [0, "qoif"], [4, "\0"], [8, "\0"]],
  ["farbfeld", [0, "farbfeld"]],
  ["FLIF", [0, "FLIF"]],
  ["BPG", [0, "BPG\xfb"]],
  ["MNG", [0, "\x8aMNG\r\n\x1a\n"]],
  ["JNG", [0, "\x8bJNG\r\n\x1a\n"]],
  ["FITS", [0, "SIMPLE  ="]],
  ["DICOM", [128, "DICM"]],
  ["DjVu", [0, "AT&TFORM"]],
  ["WMF", [0, "\xd7\xcd\xc6\x9a"]],
  ["EMF", [0, "\x01\0\0\0"], [40, " EMF"]],
  ["Sun raster", [0, "\x59\xa6\x6a\x95"]],
  ["SGI", [0, "\x01\xda\0"]],
  ["SGI", [0, "\x01\xda\x01"]],
  ["PCX", [0, "\x0a\x05\x01"]],
  ["PCX", [0, "\x0a\x03\x01"]],
  ["DCX", [0, "\xb1\x68\xde\x3a"]],
  ["BLP", [0, "BLP2"]],
  ["XPM", [0, "/* XPM */"]],
];

/** Formats that are text. The patterns cannot backtrack exponentially. */
const TEXTUAL: readonly [format: string, pattern: RegExp][] = [
  ["SVG", /^(<\?xml[^>]*>|<!--((?!-->).)*-->|<!doctype\s+svg[^>]*>|\s)*<(\w+:)?svg[\s>/]/is],
  ["Netpbm", /^P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s/],
  ["Netpbm", /^P7\s+(#|WIDTH|HEIGHT|DEPTH)/],
  ["PFM", /^P[Ff4]\n-?\d+ -?\d+\n/],
  ["XBM", /^\s*(\/\*.*?\*\/\s*)?#define\s+\w*_?width\s+\d/s],
];

/** Brands of image formats in ISO base media files. */
const BRANDS: readonly [format: string, pattern: RegExp][] = [
  ["AVIF", /^(avif|avis|avio)$/],
  ["HEIC", /^(hei[cxms]|hev[cxms])$/],
  ["JPEG XL", /^jxl $/],
  ["JPEG 2000", /^(jp2|jpx|jpm|jph) $/],
  ["camera raw", /^crx $/],
  ["HEIF", /^(mif[12]|msf1|miaf)$/],
];

/** Finds a format by the brands in the first box of the file. */
function ofBrands(head: string): string | undefined {
  if (head.slice(4, 8) !== "ftyp") return undefined;
  const length = Math.min(head.charCodeAt(2) * 256 + head.charCodeAt(3), head.length);
  const brands = [head.slice(8, 12)];
  for (let at = 16; at + 4 <= length; at += 4) brands.push(head.slice(at, at + 4));
  return BRANDS.find(([, pattern]) => brands.some((brand) => pattern.test(brand)))?.[0];
}

/** Decodes first bytes as Latin-1: one character a byte. */
export const asLatin1 = (head: Uint8Array) => String.fromCharCode(...head.subarray(0, HEAD_BYTES));

/** Returns the image format of first bytes, or `undefined` for other files. */
export function formatOf(bytes: Uint8Array): string | undefined {
  const head = asLatin1(bytes);
  const signed = SIGNATURES.find(([, ...parts]) => parts.every(([at, part]) => head.startsWith(part, at)));
  if (signed) return signed[0];
  const text = head.replace(/^\xef\xbb\xbf/, "");
  return ofBrands(head) ?? TEXTUAL.find(([, pattern]) => pattern.test(text))?.[0];
}

/** Extensions of images: Pillow's, those of cameras and of design tools. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  PNG: "png apng",
  JPEG: "jpg jpeg jpe jfif jif jfi mpo jps pjpeg pjp",
  WebP: "webp",
  GIF: "gif",
  BMP: "bmp dib rle",
  AVIF: "avif avifs",
  HEIC: "heic heics",
  HEIF: "heif heifs hif",
  TIFF: "tif tiff btf",
  "JPEG XL": "jxl",
  "JPEG 2000": "jp2 j2k jpc jpf jpx j2c jpm jph",
  "JPEG XR": "jxr wdp hdp",
  ICO: "ico",
  CUR: "cur",
  ICNS: "icns",
  SVG: "svg svgz",
  Photoshop: "psd psb",
  GIMP: "xcf",
  OpenEXR: "exr",
  "Radiance HDR": "hdr",
  DDS: "dds",
  KTX: "ktx ktx2",
  QOI: "qoi",
  farbfeld: "ff",
  FLIF: "flif",
  BPG: "bpg",
  MNG: "mng",
  JNG: "jng",
  FITS: "fit fits",
  DICOM: "dcm dicom",
  DjVu: "djvu djv",
  WMF: "wmf",
  EMF: "emf",
  "Sun raster": "ras",
  SGI: "sgi rgb rgba bw",
  PCX: "pcx",
  DCX: "dcx",
  Netpbm: "pbm pgm ppm pnm pam",
  PFM: "pfm",
  XBM: "xbm",
  XPM: "xpm",
  TGA: "tga icb vda vst targa",
  "camera raw":
    "3fr ari arw cr2 cr3 crw dcr dcs dng erf fff iiq k25 kdc mef mos mrw nef nrw orf pef ptx raf raw rw2 rwl sr2 srf srw x3f",
  BLP: "blp",
  EPS: "eps",
  "Photo CD": "pcd",
  PIXAR: "pxr",
  FLI: "fli flc",
  FTEX: "ftc ftu",
  "GIMP brush": "gbr",
  IM: "im",
  "Microsoft Paint": "msp",
  Palm: "palm",
};

const BY_EXTENSION: ReadonlyMap<string, string> = new Map(
  Object.entries(EXTENSIONS).flatMap(([format, list]) =>
    list.split(" ").map((extension): [string, string] => [extension, format]),
  ),
);

/** Returns the image format of an extension in lower case. */
export const formatOfExtension = (extension: string): string | undefined => BY_EXTENSION.get(extension);

/** Extensions of other files, which are not opened: text, tables, arrays, archives, sound, video, programs. */
const OTHERS = new Set(
  `txt text json jsonl jsn ndjson csv tsv md rst html htm xml xmp aae yaml yml toml ini cfg conf log lst pdf doc docx odt xls xlsx
  ods ppt pptx parquet arrow feather npy npz pkl pickle pyd pt pth ckpt safetensors onnx h5 hdf hdf5 mat mp msg msgpack cbor ten tb
  cls cls2 id index inx count transcript caption captions vtt srt db sqlite zip tar gz tgz bz2 xz zst 7z rar lmdb mdb mp3 wav flac
  ogg m4a aac mp4 m4v mov avi mkv webm mpg mpeg wmv py ipynb js mjs ts css sh bat cmd exe dll so url lnk`.split(/\s+/),
);

/** Whether a file of an extension, in lower case, could be an image. */
export const couldBeImage = (extension: string) => !OTHERS.has(extension);
