/**
 * What bytes are, whichever realm made them: an iframe, `vm.runInContext` and Jest have classes of their own, of which
 * `instanceof` knows nothing. The tags of `Object.prototype.toString` are the same everywhere.
 */

import { ClipError } from "./error.js";

/** Bytes in memory. Shared memory is copied where it crosses to a worker. */
export type MemoryBytes = Uint8Array | Uint8ClampedArray | DataView | ArrayBuffer | SharedArrayBuffer;

/** Bytes of a file. */
export type Bytes = MemoryBytes | Blob;

/** Name of a value's class, of its nearest one that the platform has. */
export const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

const VIEWS: ReadonlySet<string> = new Set(["Uint8Array", "Uint8ClampedArray", "DataView"]);
const BUFFERS: ReadonlySet<string> = new Set(["ArrayBuffer", "SharedArrayBuffer"]);

const has = (value: unknown, method: string): boolean =>
  typeof value === "object" && value !== null && typeof (value as Record<string, unknown>)[method] === "function";

/** Whether a value is a `Blob` or a `File`. */
export const isBlob = (value: unknown): value is Blob =>
  ["Blob", "File"].includes(tagOf(value)) && has(value, "stream") && has(value, "arrayBuffer");

/** Whether a value is a file with its name. */
export const isFile = (value: unknown): value is File =>
  isBlob(value) && "name" in value && typeof value.name === "string";

/** Whether a value is a handle of a file. */
export const isFileHandle = (value: unknown): value is FileSystemFileHandle => has(value, "getFile");

/** Whether a value is a handle of a folder. */
export const isFolderHandle = (value: unknown): value is FileSystemDirectoryHandle =>
  has(value, "values") && (value as FileSystemHandle).kind === "directory";

/** Whether a value is an address as `URL` has it. */
export const isUrl = (value: unknown): value is URL =>
  tagOf(value) === "URL" && typeof (value as URL).href === "string";

/** Whether a value is bytes in memory: a buffer, or a view of bytes. Views of wider numbers are none. */
export function isBytes(value: unknown): value is MemoryBytes {
  return BUFFERS.has(tagOf(value)) || (ArrayBuffer.isView(value) && VIEWS.has(tagOf(value)));
}

/**
 * Bytes in memory as this realm's `Uint8Array`: the same memory, or a copy where it is shared or may be resized, as neither
 * `Blob` nor `TextDecoder` takes those.
 *
 * @throws ClipError `invalid-source` where the memory was given away
 */
export function toBytes(value: MemoryBytes): Uint8Array<ArrayBuffer> {
  try {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    const { buffer } = bytes;
    const own = tagOf(buffer) === "ArrayBuffer" && !("resizable" in buffer && buffer.resizable);
    return (own ? bytes : bytes.slice()) as Uint8Array<ArrayBuffer>;
  } catch (error) {
    throw new ClipError("invalid-source", "expected bytes, got a buffer that was transferred to somewhere else", {
      cause: error,
    });
  }
}
