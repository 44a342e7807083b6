/** Decodes captions, in the encoding that an editor or a spreadsheet saved them in. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Schema } from "../options/rules.js";
import { decodeAs, encodingOf, isEncoding, isNarrow } from "./encodings.js";
import { guessEncoding } from "./guess-encoding.js";

/** Encoding of captions. */
export interface EncodingOptions {
  /**
   * Encoding of text without a byte order mark, by its name in the
   * [Encoding Standard](https://encoding.spec.whatwg.org/#names-and-labels): `"windows-1252"`, `"shift_jis"`, `"utf-16le"`.
   * A byte order mark (UTF-8, UTF-16) takes precedence, as on the web. With an encoding of one byte a character, text that is valid
   * UTF-8 is decoded as UTF-8. @default "utf-8"
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
  let got = "got bytes that are not";
  if (guess !== undefined && guess !== encoding) got = `got probably ${guess}`;
  let advice = "save it as UTF-8 or pass its encoding";
  if (isEncoding(guess) && guess !== encoding) advice = `pass { encoding: "${guess}" }`;
  return new ClipError("invalid-dataset", `${expected}, ${got}: ${advice}`);
}

/** Whether text decoded as UTF-8 is ISO 2022 (escapes) or UTF-16 (zeros). */
const isOther = (text: string) => text.includes("\x1b$") || text.includes("\0");

/**
 * Decodes bytes by their byte order mark, or else in `encoding`. Never replaces bytes by U+FFFD.
 *
 * @throws ClipError `invalid-dataset` for bytes of another encoding; the message names the likely one
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
 * Decodes bytes line by line. In a line that cannot be decoded, bytes from 0x80 on become the lone surrogates U+DC80 to U+DCFF, as
 * with Python's `surrogateescape`; `undecoded` finds them.
 *
 * @throws ClipError `invalid-dataset` where lines cannot be told apart
 */
export function decodeLines(bytes: Uint8Array, encoding = "utf-8"): string {
  const said = markOf(bytes) ?? encodingOf(encoding);
  // 0x0A is not a line break there
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

/** Returns a message where one of the texts of `decodeLines` could not be decoded. */
export function undecoded(texts: readonly unknown[], encoding = "utf-8"): string | undefined {
  const lost = texts.find((text): text is string => typeof text === "string" && /[\udc80-\udcff]/u.test(text));
  if (lost === undefined) return undefined;
  return notText(
    Uint8Array.from(lost, (character) => character.charCodeAt(0) & 0xff),
    encodingOf(encoding),
  ).message;
}
