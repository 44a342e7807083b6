/** Captions as text, in the encoding that an editor or a spreadsheet saved them in. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Schema } from "../options/rules.js";
import { decodeAs, encodingOf, isEncoding, isNarrow } from "./encodings.js";
import { guessEncoding } from "./guess-encoding.js";

/** In which encoding captions are. */
export interface EncodingOptions {
  /**
   * Encoding of text without a byte order mark, by its name in the
   * [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels): `"windows-1252"`, `"shift_jis"`, `"utf-16le"`.
   * A byte order mark (UTF-8, UTF-16) decides before it, as on the web; where the encoding has one byte a character, text
   * that is whole UTF-8 is read as such, too. @default "utf-8"
   */
  encoding?: string;
}

const MARKS: readonly (readonly [encoding: string, mark: readonly number[]])[] = [
  ["utf-32be", [0, 0, 0xfe, 0xff]],
  ["utf-32le", [0xff, 0xfe, 0, 0]],
  ["utf-8", [0xef, 0xbb, 0xbf]],
  ["utf-16be", [0xfe, 0xff]],
  ["utf-16le", [0xff, 0xfe]],
];

const markOf = (bytes: Uint8Array) => MARKS.find(([, mark]) => mark.every((byte, i) => bytes[i] === byte))?.[0];

export const ENCODING = {
  encoding: {
    expected: 'the name of an encoding in the Encoding Standard, such as "windows-1252" or "shift_jis"',
    accepts: isEncoding,
    text: true,
  },
} satisfies Schema<EncodingOptions>;

function notText(bytes: Uint8Array, encoding: string, marked = false): ClipError {
  const expected = `expected text in ${encoding.toUpperCase()}${marked ? ", as its byte order mark says" : ""}`;
  const guess = guessEncoding(bytes);
  let got = "got bytes that are none";
  if (guess !== undefined && guess !== encoding) got = `got what is probably ${guess}`;
  let advice = "save it as UTF-8, or say its encoding";
  if (isEncoding(guess) && guess !== encoding) advice = `{ encoding: "${guess}" } decodes it`;
  return new ClipError("invalid-dataset", `${expected}, ${got}: ${advice}`);
}

/** What two encodings look like in UTF-8: ISO 2022 has escapes, UTF-16 zeros. */
const isOther = (text: string) => text.includes("\x1b$") || text.includes("\0");

/**
 * Bytes as text: by their byte order mark, else in the encoding that is said, else in UTF-8. Nothing is replaced by U+FFFD.
 *
 * @throws ClipError `invalid-dataset` for bytes that are not in that encoding; the message names the one that they are
 * probably in
 */
export function decodeText(bytes: Uint8Array, encoding = "utf-8"): string {
  const mark = markOf(bytes);
  const said = mark ?? encodingOf(encoding);
  if (mark?.startsWith("utf-32")) {
    throw new ClipError("invalid-dataset", `expected text in UTF-8 or UTF-16, got ${mark}: save it as UTF-8`);
  }
  const text = decodeAs(bytes, said);
  if (text !== undefined && (mark?.startsWith("utf-16") || !isOther(text))) return text;
  throw notText(bytes, said, mark !== undefined);
}

const lineAt = (bytes: Uint8Array, from: number) => {
  const length = bytes.subarray(from).findIndex((byte) => byte === 0x0a || byte === 0x0d);
  return bytes.subarray(from, length === -1 ? bytes.length : from + length + 1);
};

/**
 * Like `decodeText`, line by line: one that cannot be decoded keeps its bytes from 0x80 on as U+DC80 to U+DCFF, which are
 * no characters, as Python's `surrogateescape` has it; `undecoded` finds them.
 *
 * @throws ClipError `invalid-dataset` where no line can be decoded
 */
export function decodeLines(bytes: Uint8Array, encoding = "utf-8"): string {
  const said = markOf(bytes) ?? encodingOf(encoding);
  // in these, a byte of a line's end ends no line
  if (/^utf-(16|32)/.test(said) || lineAt(bytes, 0).includes(0)) return decodeText(bytes, encoding);
  const whole = decodeAs(bytes, isNarrow(said) ? "utf-8" : said);
  if (whole?.includes("\x1b$")) throw notText(bytes, said);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const line = lineAt(bytes, at);
    const escaped = () => Array.from(line, (byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join("");
    text += decodeAs(line, said) ?? escaped();
    at += line.length;
  }
  return text;
}

/** What is to be said of text from `decodeLines` that could not be decoded; nothing of other text. */
export function undecoded(texts: readonly unknown[], encoding = "utf-8"): string | undefined {
  const lost = texts.find((text): text is string => typeof text === "string" && /[\udc80-\udcff]/u.test(text));
  if (lost === undefined) return undefined;
  return notText(
    Uint8Array.from(lost, (character) => character.charCodeAt(0) & 0xff),
    encodingOf(encoding),
  ).message;
}
