/** Captions as text, in the encoding that an editor or a spreadsheet saved them in. */

import { ClipError } from "../../workers/error.js";
import type { Schema } from "../options.js";
import { decodeAs, isEncoding } from "./encodings.js";
import { guessEncoding } from "./guess-encoding.js";

/** In which encoding captions are. */
export interface EncodingOptions {
  /**
   * Encoding of text without a byte order mark, by its name in the
   * [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels): `"windows-1252"`, `"shift_jis"`, `"utf-16le"`.
   * A byte order mark (UTF-8, UTF-16) decides before it, as on the web. @default "utf-8"
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

function notText(bytes: Uint8Array, encoding: string, marked: boolean): ClipError {
  const expected = `expected text in ${encoding.toUpperCase()}${marked ? ", as its byte order mark says" : ""}`;
  const guess = guessEncoding(bytes);
  let got = "got bytes that are none";
  if (guess !== undefined && guess !== encoding) got = `got what is probably ${guess}`;
  let advice = "save it as UTF-8, or say its encoding";
  if (isEncoding(guess) && guess !== encoding) advice = `{ encoding: "${guess}" } decodes it`;
  return new ClipError("invalid-dataset", `${expected}, ${got}: ${advice}`);
}

/**
 * Bytes as text: by their byte order mark, else in the encoding that is said, else in UTF-8. Nothing is replaced by U+FFFD.
 *
 * @throws ClipError `invalid-dataset` for bytes that are not in that encoding; the message names the one that they are
 * probably in
 */
export function decodeText(bytes: Uint8Array, encoding = "utf-8"): string {
  const mark = markOf(bytes);
  if (mark?.startsWith("utf-32")) {
    throw new ClipError("invalid-dataset", `expected text in UTF-8 or UTF-16, got ${mark}: save it as UTF-8`);
  }
  const text = decodeAs(bytes, mark ?? encoding);
  // zeros (of UTF-16) and escapes (of ISO 2022) are characters in UTF-8, though of no caption
  if (text === undefined || ((text.includes("\0") || text.includes("\x1b$")) && !mark?.startsWith("utf-16"))) {
    throw notText(bytes, mark ?? encoding, mark !== undefined);
  }
  return text;
}
