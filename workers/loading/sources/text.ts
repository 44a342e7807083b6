/** Small files as text, and what stands in a file's place when it is not there. */

import { ClipError, type ClipErrorCode } from "../../protocol/error.js";

/** Bytes of a file's start that tell what it is. */
export const TELLING_BYTES = 512;
/** Characters of a file that a message repeats. */
const MOST_QUOTED = 80;

/** Beginnings of what else is found under a file's name, as `characters` spells them. */
const BEGINNINGS: [RegExp, string][] = [
  [/^$/, "an empty file"],
  [
    /^version https:\/\/(git-lfs|hawser)/,
    "a Git LFS pointer: the file itself was not fetched; run git lfs pull, or download it from where it is published",
  ],
  [/^\/?(\.\.\/)*\.git\/annex\//, "a git-annex pointer: the file itself was not fetched; run git annex get"],
  [/^(\.\.\/)+blobs\//, "a link of the Hub's cache that was copied as text: copy what it links to"],
  [
    /^(\xff{3})?\s*<(!doctype|html|head|body|script|!--|title|meta)/i,
    "a web page: was it downloaded without a login, or from the page about the file?",
  ],
  [/^(\xff{3})?\s*<(\?xml|error|svg|\w+>)/i, "an XML document, such as a server's error"],
  [/^PK(␃␄|␅␆|␇␈)/, "a zip archive, as PyTorch's .bin and .pt files are: convert it to safetensors"],
  [/^␟\xff/, "a gzip archive: unpack it"],
  [/^BZh\d/, "a bzip2 archive: unpack it"],
  [/^\xff7zXZ/, "an xz archive: unpack it"],
  [/^7z\xff\xff/, "a 7z archive: unpack it"],
  [/^\(\xff\/\xff/, "a zstd archive: unpack it"],
  [/^Rar!/, "a RAR archive: unpack it"],
  [/^[\s\S]{257}ustar/, "a tar archive: unpack it"],
  [/^\xff[␂-␅]([}c(\]X]|\xff)/, "a pickle, which can run code: convert it to safetensors"],
  [/^GGUF/, "a GGUF file, which is not read"],
  [/^\xffHDF/, "an HDF5 file, which is not read"],
  [/^\xffNUMPY/, "a NumPy file, which is not read"],
  [/^␈[␃-␈\s]␒/, "an ONNX model, which is not read"],
  [/^%PDF/, "a PDF"],
  [/^(\xffPNG|\xff{4}␀|GIF8|RIFF)/, "a picture"],
];

/** A file's start: ASCII as it is, other bytes as `\xff`, control characters as their pictures. */
function characters(bytes: Uint8Array): string {
  const of = (byte: number) => {
    if (byte > 0x7f) return "\xff";
    return String.fromCharCode(byte < 0x20 && !/\s/.test(String.fromCharCode(byte)) ? 0x2400 + byte : byte);
  };
  return Array.from(bytes.subarray(0, TELLING_BYTES), of).join("");
}

/** What bytes are that cannot be the start of any file of a model; nothing where they can. */
export function whatItIs(bytes: Uint8Array): string | undefined {
  const start = characters(bytes);
  return BEGINNINGS.find(([beginning]) => beginning.test(start))?.[1];
}

/** How a file that is wrong is refused. */
function codeOf(name: string): ClipErrorCode {
  if (/\.safetensors(\.index\.json)?$/.test(name)) return "invalid-checkpoint";
  return /(token|merges|vocab)/.test(name) ? "invalid-tokenizer" : "invalid-config";
}

function refused(name: string, expected: string, got: string): ClipError {
  return new ClipError(codeOf(name), `${name}: expected ${expected}, got ${got}`);
}

/** A quotation of a text's start. */
const quoted = (text: string) => JSON.stringify(text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}…` : text);

/** Refuses the start of a file of weights that is none. */
export function checkWeights(name: string, start: Uint8Array): void {
  // a length of 64 bits, of which a header that fits into memory needs half, and JSON; it may begin like anything else
  const isHeader = start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0);
  if (isHeader) return;
  const is = whatItIs(start);
  const beginning = characters(start);
  const text = /^[\t\n\r -~]{8}/.test(beginning) ? `text that starts with ${quoted(beginning.trim())}` : undefined;
  const got = is ?? text;
  if (got !== undefined) throw refused(name, "a safetensors file", got);
}

/** JSON's words. */
const TOKEN =
  /\s*(?:[{}[\],:]|"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*/uy;

/** Where the first word stands that is none of JSON's. Not all engines say it. */
function placeOf(text: string): string {
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < text.length && TOKEN.test(text)) at = TOKEN.lastIndex;
  const lines = text.slice(0, at).split("\n");
  return `line ${lines.length} column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

/** A text as JSON; the message of what is none names the file and the place. */
export function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = /line \d+ column \d+/.exec((error as Error).message)?.[0] ?? placeOf(text);
    throw refused(name, "JSON", `${quoted(text.trim())}, which is none at ${place}`);
  }
}

/** What a server writes in the place of a file that it does not give. */
function isServersError(value: object): boolean {
  const says = ["error", "message", "detail"].some(
    (key) => typeof (value as Record<string, unknown>)[key] === "string",
  );
  return says && Object.keys(value).length <= 4;
}

function checkJson(name: string, text: string): void {
  const value = parseJson(name, text);
  const isList = name.endsWith("modules.json");
  if (typeof value !== "object" || value === null || Array.isArray(value) !== isList)
    throw refused(name, isList ? "a JSON array" : "a JSON object", quoted(text.trim()));
  if (isServersError(value)) throw refused(name, "a file of a model", `a server's error: ${quoted(text.trim())}`);
}

/**
 * Text of a file: UTF-8, and JSON where its name says so. A byte order mark is no part of it.
 *
 * @throws ClipError naming the file and what it is instead
 */
export function readText(name: string, bytes: Uint8Array): string {
  const expected = name.endsWith(".json") ? "JSON" : "text";
  const is = whatItIs(bytes);
  if (is !== undefined) throw refused(name, expected, is);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const [a, b] = bytes;
    const utf16 = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff);
    throw refused(name, `${expected} in UTF-8`, utf16 ? "UTF-16: save it as UTF-8" : "bytes that are none");
  }
  // the core reads it, and says the place; reading a large one twice takes time
  if (name.endsWith(".json") && !name.endsWith("tokenizer.json")) checkJson(name, text);
  return text;
}
