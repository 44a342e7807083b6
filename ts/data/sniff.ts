/** What a file is, in words for messages, told by its first bytes. */

import { asLatin1, DECODED_NAMES, formatOf, formatOfExtension, isDecoded } from "./image-format.js";

/** What is often met in place of a picture or an archive, by the Latin-1 that it begins with. */
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

/** The same for what has no fixed beginning; the last is words with spaces between them. */
const PATTERNS: readonly [what: string, pattern: RegExp][] = [
  ["a video", /^(.{4}ftyp|RIFF.{4}AVI )/s],
  ["a web page", /^\s*(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html|head|body|title|script)\b/is],
  ["XML", /^\s*<\?xml\b/],
  ["JSON", /^\s*[{[]\s*["{[\]}\d]/],
  ["text", /^(?=\s*\S+\s+\S)[\P{Cc}\s\u0080-\u009f]*$/u],
];

/** What a file with these first bytes is; nothing where they do not tell. */
export function contentOf(head: Uint8Array): string | undefined {
  if (head.length === 0) return "an empty file";
  const format = formatOf(head);
  if (format !== undefined) return `a picture in the format ${format}`;
  const text = asLatin1(head).replace(/^\xef\xbb\xbf/, "");
  const signed = SIGNATURES.find(([, ...beginnings]) => beginnings.some((beginning) => text.startsWith(beginning)));
  return (signed ?? PATTERNS.find(([, pattern]) => pattern.test(text)))?.[0];
}

/** What a file turns out to be. */
export interface Inspection {
  /** Whether it is a picture, or claims to be one by its extension. */
  picture: boolean;
  /** Why it cannot be used as one. */
  problem?: string;
}

/** Whether a file is a picture, by its first bytes, and by its extension where they do not tell. */
export function inspect(head: Uint8Array, extension: string): Inspection {
  const format = formatOf(head);
  const named = formatOfExtension(extension);
  if (format === undefined && named === undefined) return { picture: false };
  const content = format === undefined ? contentOf(head) : undefined;
  // bytes that say nothing are left to the decoder, which refuses them by name
  if (content === undefined && isDecoded(format ?? (named as string))) return { picture: true };
  const got = content ?? `${format ?? named}, which is not decoded here`;
  return { picture: true, problem: `expected a picture (${DECODED_NAMES}), got ${got}` };
}
