/** Tells by the first bytes of a file what it is. */

import { asLatin1, DECODED_NAMES, formatOf, formatOfExtension, isDecoded } from "./image-format.js";

/** Files often found in place of an image or an archive, by their first bytes as Latin-1. */
const SIGNATURES: readonly [what: string, ...beginnings: string[]][] = [
  ["a zip archive", "PK\x03\x04", "PK\x05\x06", "PK\x07\x08"],
  ["a gzip archive", "\x1f\x8b"],
  ["a bzip2 archive", "BZh"],
  ["an xz archive", "\xfd7zXZ\0"],
  ["a Zstandard archive", "\x28\xb5\x2f\xfd"],
  ["an LZ4 archive", "\x04\x22\x4d\x18"],
  ["a 7z archive", "7z\xbc\xaf\x27\x1c"],
  ["a RAR archive", "Rar!\x1a\x07"],
  ["a Parquet table", "PAR1"],
  ["an Arrow table", "ARROW1"],
  ["an Excel workbook of before 2007", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"],
  ["an SQLite database", "SQLite format 3\0"],
  ["an HDF5 file", "\x89HDF\r\n\x1a\n"],
  ["a NumPy array", "\x93NUMPY"],
  ["a PDF document", "%PDF-"],
  ["a PostScript document", "%!PS", "\xc5\xd0\xd3\xc6"],
  ["a video", "\x1aE\xdf\xa3", "\0\0\x01\xb3", "\0\0\x01\xba"],
  ["a Git LFS pointer (`git lfs pull` fetches its file)", "version https://git-lfs.github.com/spec"],
];

/** Files without a fixed beginning; the last is words separated by spaces. */
const PATTERNS: readonly [what: string, pattern: RegExp][] = [
  ["a video", /^(.{4}ftyp|RIFF.{4}AVI )/s],
  ["a web page", /^\s*(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body|title|script)\b/is],
  ["XML", /^\s*<\?xml\b/],
  ["JSON", /^\s*[{[]\s*["{[\]}\d]/],
  ["text", /^(?=\s*\S+\s+\S)[\P{Cc}\s\u0080-\u009f]*$/u],
];

/** Describes a file by its first bytes, or returns `undefined` where they do not tell. */
export function contentOf(head: Uint8Array): string | undefined {
  if (head.length === 0) return "an empty file";
  const format = formatOf(head);
  if (format !== undefined) return `an image in the format ${format}`;
  const text = asLatin1(head).replace(/^\xef\xbb\xbf/, "");
  const signed = SIGNATURES.find(([, ...beginnings]) => beginnings.some((beginning) => text.startsWith(beginning)));
  return (signed ?? PATTERNS.find(([, pattern]) => pattern.test(text)))?.[0];
}

/** Result of inspecting a file. */
export interface Inspection {
  /** Whether it is an image by its first bytes or its extension. */
  isImage: boolean;
  /** Why it cannot be decoded. */
  problem?: string;
}

/** Inspects a file by its first bytes, and by its extension where they do not tell. */
export function inspect(head: Uint8Array, extension: string): Inspection {
  const format = formatOf(head);
  const named = formatOfExtension(extension);
  if (format === undefined && named === undefined) return { isImage: false };
  const content = format === undefined ? contentOf(head) : undefined;
  // unknown bytes are left to the decoder, whose error is better
  if (content === undefined && isDecoded(format ?? (named as string))) return { isImage: true };
  const got = content ?? `${format ?? named}, which cannot be decoded here`;
  return { isImage: true, problem: `expected an image (${DECODED_NAMES}), got ${got}` };
}
