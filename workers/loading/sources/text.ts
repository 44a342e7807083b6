/** Decodes and checks small text files. */

import { invalidContent, quote } from "./content.js";
import { recognize } from "./signatures.js";

/** One token of JSON, with the whitespace around it. */
const TOKEN =
  /\s*(?:[{}[\],:]|"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*/uy;

/** Finds the first token that is not JSON. Not all engines name its position. */
function positionOf(text: string): string {
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < text.length && TOKEN.test(text)) at = TOKEN.lastIndex;
  const lines = text.slice(0, at).split("\n");
  return `line ${lines.length} column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

/**
 * Parses JSON.
 *
 * @throws ClipError naming the file and the position
 */
export function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const position = /line \d+ column \d+/.exec((error as Error).message)?.[0] ?? positionOf(text);
    throw invalidContent(name, `invalid JSON at ${position}: ${quote(text.trim())}`);
  }
}

/** Whether a JSON object is an error that a server sends in place of a file. */
function isServerError(value: object): boolean {
  const hasMessage = ["error", "message", "detail"].some(
    (key) => typeof (value as Record<string, unknown>)[key] === "string",
  );
  return hasMessage && Object.keys(value).length <= 4;
}

function checkJson(name: string, text: string): void {
  const value = parseJson(name, text);
  const isList = name.endsWith("modules.json");
  if (typeof value !== "object" || value === null || Array.isArray(value) !== isList)
    throw invalidContent(name, `expected a JSON ${isList ? "array" : "object"}, got ${quote(text.trim())}`);
  if (isServerError(value))
    throw invalidContent(name, `expected a file of a model, got a server's error: ${quote(text.trim())}`);
}

/**
 * Decodes a file: UTF-8, with or without a byte order mark. Files named `.json` are checked to be JSON.
 *
 * @throws ClipError naming the file and what it holds instead
 */
export function readText(name: string, bytes: Uint8Array): string {
  const expected = name.endsWith(".json") ? "JSON" : "text";
  const format = recognize(bytes);
  if (format !== undefined) throw invalidContent(name, `expected ${expected}, got ${format}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const [a, b] = bytes;
    const isUtf16 = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff);
    const got = isUtf16 ? "UTF-16: save it as UTF-8" : "invalid bytes";
    throw invalidContent(name, `expected ${expected} in UTF-8, got ${got}`);
  }
  // a tokenizer.json may be large: it is parsed once, by the core, which names the position
  if (name.endsWith(".json") && !name.endsWith("tokenizer.json")) checkJson(name, text);
  return text;
}
