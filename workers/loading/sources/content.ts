/** Refuses files that hold something else than their name says. */

import { ClipError, type ClipErrorCode } from "../../protocol/error.js";
import { characters, recognize } from "./signatures.js";

/** Characters of a file that a message quotes. */
const MAX_QUOTED = 80;

function codeOf(name: string): ClipErrorCode {
  if (/\.safetensors(\.index\.json)?$/.test(name)) return "invalid-checkpoint";
  return /(token|merges|vocab)/.test(name) ? "invalid-tokenizer" : "invalid-config";
}

/** Makes the error for a file with invalid content; its code follows from the file's name. */
export function invalidContent(name: string, problem: string): ClipError {
  return new ClipError(codeOf(name), `${name}: ${problem}`);
}

/** Quotes the start of a text. */
export const quote = (text: string) =>
  JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);

/**
 * Checks that a file starts as safetensors do: the header's length as a 64-bit integer, of which the upper half is 0, and `{`.
 * Other binary files that are not recognised are left to the core, which refuses them too.
 */
export function checkSafetensors(name: string, start: Uint8Array): void {
  // first: a header's length may look like any signature
  const isHeader = start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0);
  if (isHeader) return;
  const beginning = characters(start);
  const text = /^[\t\n\r -~]{8}/.test(beginning) ? `text that starts with ${quote(beginning.trim())}` : undefined;
  const got = recognize(start) ?? text;
  if (got !== undefined) throw invalidContent(name, `expected a safetensors file, got ${got}`);
}
