/** The one error type, on both sides of the worker. */

import { excerpt } from "./excerpt.js";

/** Codes that the Rust core gives; `test/node/error-codes.test.ts` holds them against `error.rs`. */
export const CORE_CODES = [
  "invalid-config",
  "invalid-option",
  "empty-batch",
  "batch-too-small",
  "count-mismatch",
  "shape-mismatch",
  "caption-too-long",
  "token-out-of-range",
  "invalid-tokenizer",
  "undecodable-image",
  "image-too-large",
  "image-too-small",
  "invalid-checkpoint",
  "missing-tensor",
  "extra-tensor",
  "missing-tower",
  "no-weights",
  "already-training",
  "no-run",
  "no-adapter",
  "other-pairs",
  "loss-not-finite",
  "device-unavailable",
  "out-of-memory",
  "device-failed",
] as const;

/** Codes of what goes wrong outside the core. */
export const HOST_CODES = [
  "invalid-image",
  "invalid-source",
  "source-unreadable",
  "target-unwritable",
  "checksum-mismatch",
  "aborted",
  "invalid-dataset",
  "disposed",
  "worker-lost",
  "panicked",
  "unexpected",
] as const;

/** Stable name of a kind of error. */
export type ClipErrorCode = (typeof CORE_CODES)[number] | (typeof HOST_CODES)[number];

/** A path, an address or a name out of a file that nobody would read to its end; more than an excerpt in quotes. */
const LONG_WORD = /\S{241,}/g;

const CODES: ReadonlySet<string> = new Set([...CORE_CODES, ...HOST_CODES]);

/** What went wrong: `code` for programs, `message` (expected and got) for people. */
export class ClipError extends Error {
  override readonly name = "ClipError";
  readonly code: ClipErrorCode;

  constructor(code: ClipErrorCode, message: string, options?: ErrorOptions) {
    super(message.replace(LONG_WORD, excerpt), options);
    this.code = code;
  }
}

/** Whether a value is a ClipError, of this realm or another, where `instanceof` fails. */
export function isClipError(value: unknown): value is ClipError {
  return (
    typeof value === "object" &&
    value !== null &&
    "code" in value &&
    "message" in value &&
    (value as { name?: unknown }).name === "ClipError" &&
    CODES.has(String(value.code))
  );
}

/** Whether a value is an error, of this realm or another. */
const isError = (value: unknown): value is Error =>
  value instanceof Error || /^\[object (Error|DOMException)\]$/.test(Object.prototype.toString.call(value));

/** Any thrown value as a ClipError. */
export function toClipError(value: unknown): ClipError {
  if (value instanceof ClipError) return value;
  if (isClipError(value)) return new ClipError(value.code, value.message);
  const message = isError(value) ? value.message : String(value);
  if (value instanceof WebAssembly.RuntimeError) {
    return new ClipError("panicked", `the core stopped and its memory is lost: ${message}`, { cause: value });
  }
  if (isError(value) && value.name === "AbortError") {
    return new ClipError("aborted", "expected the call to be let finish, got an abort", { cause: value });
  }
  return new ClipError("unexpected", message, { cause: value });
}

/** A message that begins with what it is about, unless it names that path or address anyway. */
export const about = (item: string, message: string): string =>
  /[./]/.test(item) && message.includes(item) ? message : `${item}: ${message}`;

/** Says in the message of what goes wrong which item of a list it was. */
export function inItem(item: string, use: () => void): void {
  try {
    use();
  } catch (error) {
    const { code, message } = toClipError(error);
    if (code === "panicked") throw error;
    throw new ClipError(code, about(item, message));
  }
}
