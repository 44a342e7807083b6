/** `ClipError`: the only kind of error that is thrown, on both sides of the worker. */

import { withoutSecrets } from "./address.js";
import { excerpt } from "./excerpt.js";

/** Codes of the Rust core; a test holds them to `error.rs` and to `docs/guide/errors.md`. */
export const CORE_CODES = [
  /** The config describes no model that clipwright computes: correct the field that the message names. */
  "invalid-config",
  /** An option is unknown, or its value has the wrong type or range: use what the message lists. */
  "invalid-option",
  /** A list of images, texts, labels or pairs is empty: skip the call. */
  "empty-batch",
  /** A batch has a single pair, and so nothing to contrast it with: pass at least two. */
  "batch-too-small",
  /** Two lists that belong together differ in length: pass as many captions, or labels, as images. */
  "count-mismatch",
  /** Embeddings or pixels have another shape than the model takes: pass those of this model. */
  "shape-mismatch",
  /** A text has more tokens than the model's context: shorten it, or set `truncate`. */
  "caption-too-long",
  /** A token id is not in the model's vocabulary: use the tokenizer of this checkpoint. */
  "token-out-of-range",
  /** A tokenizer's files are missing, damaged or contradictory: download them again. */
  "invalid-tokenizer",
  /** The bytes of an image are damaged or in a format that is not decoded: convert it to PNG, JPEG, WebP, GIF or BMP. */
  "undecodable-image",
  /** An image exceeds the limits that the message names: scale it down first. */
  "image-too-large",
  /** An image is one pixel wide or high: leave it out. */
  "image-too-small",
  /** A safetensors file or a state is damaged, or contradicts its config: download it again. */
  "invalid-checkpoint",
  /** The weights lack a tensor that the config describes: use the config of these weights, or load one tower. */
  "missing-tensor",
  /** The weights, or an adapter, have a tensor that the config does not describe: use the config of these weights. */
  "extra-tensor",
  /** The call needs a tower that the model was loaded without: load it with `towers: "both"`. */
  "missing-tower",
  /** There is no model yet: load one, or call `fit` first if the vocabulary is cut to its captions. */
  "no-weights",
  /** Another run is going on: let it end, or break its loop. */
  "already-training",
  /** `resumeFit` found no run that was stopped before its last step: call `fit`. */
  "no-run",
  /** The last run trained no adapters: train with `lora`, or export the whole model. */
  "no-adapter",
  /** `resumeFit` was given other pairs than the run began with: pass the same ones in the same order. */
  "other-pairs",
  /** The loss, a gradient or a weight became NaN or infinite, and the step was undone: lower `lr` or raise `warmup`. */
  "loss-not-finite",
  /** The requested device does not exist here: choose `auto` or `cpu`. */
  "device-unavailable",
  /** A tensor does not fit into memory: use `q8`, one tower, a smaller batch or `microBatchSize`. */
  "out-of-memory",
  /** The GPU was lost or returned nothing: load the model again. */
  "device-failed",
] as const;

/** Codes of errors outside the core. */
export const HOST_CODES = [
  /** A value is no image that can be read: pass one of the documented inputs. */
  "invalid-image",
  /** An argument is no checkpoint, data set or state: pass one of the documented sources. */
  "invalid-source",
  /** A server, folder or file cannot be read: check the address, its permissions and the network. */
  "source-unreadable",
  /** A state cannot be written: free space on the disk, or choose another folder. */
  "target-unwritable",
  /** A download differs from the SHA-256 that the server promises, and was deleted: load it again. */
  "checksum-mismatch",
  /** The call's `signal` was aborted: nothing is to be done. */
  "aborted",
  /** A data set cannot be read, or a sample in it is no pair: correct it, or skip bad pairs. */
  "invalid-dataset",
  /** The vectors of the index are another model's: open it with that model, or make a new index. */
  "wrong-model",
  /** A vector has no direction: it has NaN or an infinity, or is all zeros. Leave it out. */
  "invalid-vector",
  /** An item's id occurs twice in a call, or is in the index already: use `put` to replace it. */
  "duplicate-id",
  /** The index has no item of this id: use `add` for new ones. */
  "unknown-id",
  /** There is no such index: pass a dimension or a model, so that it is made. */
  "index-missing",
  /** The file is no index, or a damaged one: restore it, or delete the index and make it again. */
  "index-damaged",
  /** A newer clipwright wrote the index: update clipwright. */
  "index-newer",
  /** Another tab or process holds the index and does not let go: close it there, or try again. */
  "index-busy",
  /** The model, trainer or index was disposed of or closed: load or open it again. */
  "disposed",
  /** The place where the code runs lacks what the model needs, such as workers: run it where the message says. */
  "platform-unsupported",
  /** The worker ended or did not start: load the model again, and check the page's Content Security Policy. */
  "worker-lost",
  /** The core panicked, and its worker answers no further call: load the model again, and report it as a bug. */
  "panicked",
  /** An error without a code of its own, such as one that the caller's iterable throws: read its message and cause. */
  "unexpected",
] as const;

/** Stable name of a kind of error. */
export type ClipErrorCode = (typeof CORE_CODES)[number] | (typeof HOST_CODES)[number];

/** A word too long for a message, such as a data URL; longer than an excerpt in quotes. */
const LONG_WORD = /\S{241,}/g;

/** What went wrong: `code` for programs, `message` for people. */
export class ClipError extends Error {
  /** "ClipError", in every realm. */
  override readonly name = "ClipError";
  /** Stable name of the kind of error, for programs. */
  readonly code: ClipErrorCode;

  constructor(code: ClipErrorCode, message: string, options?: ErrorOptions) {
    super(withoutSecrets(message).replace(LONG_WORD, excerpt), options);
    this.code = code;
  }
}

/** Whether a value is a `ClipError`, also one of another realm or version, which `instanceof` does not recognise. */
export function isClipError(value: unknown): value is ClipError {
  return (
    typeof value === "object" &&
    value !== null &&
    "code" in value &&
    typeof value.code === "string" &&
    "message" in value &&
    (value as { name?: unknown }).name === "ClipError"
  );
}

/** Whether a value is an error, also one of another realm. */
const isError = (value: unknown): value is Error =>
  value instanceof Error || /^\[object (Error|DOMException)\]$/.test(Object.prototype.toString.call(value));

/** Whether a value is the error of a panic: the instance that threw it may not be called again. */
export const isPanic = (value: unknown): boolean => isError(value) && value.name === "RuntimeError";

/** Converts any thrown value. */
export function toClipError(value: unknown): ClipError {
  if (value instanceof ClipError) return value;
  if (isClipError(value)) return new ClipError(value.code, value.message);
  const message = isError(value) ? value.message : String(value);
  if (isPanic(value)) {
    return new ClipError("panicked", `the core panicked, load the model again: ${message}`, { cause: value });
  }
  if (isError(value) && value.name === "AbortError")
    return new ClipError("aborted", "the call was aborted", { cause: value });
  return new ClipError("unexpected", message, { cause: value });
}

/** Puts an item's name before a message, unless it is a path or URL that the message has already. */
export const about = (item: string, message: string): string =>
  /[./]/.test(item) && message.includes(withoutSecrets(item)) ? message : `${item}: ${message}`;

/** Runs `use`; its error names the item of a list that it is about. */
export function inItem(item: string, use: () => void): void {
  try {
    use();
  } catch (error) {
    const { code, message } = toClipError(error);
    if (code === "panicked") throw error;
    throw new ClipError(code, about(item, message));
  }
}
