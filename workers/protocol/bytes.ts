/**
 * Recognises bytes, files and URLs of any realm: iframes, `vm.runInContext`, Jest, jsdom and happy-dom have classes of their own,
 * for which `instanceof` is false. `Object.prototype.toString` gives the same tag in most of them.
 */

import { ClipError } from "./error.js";
import type { PlatformClass } from "./platform-class.js";

/** Bytes in memory. Shared memory is copied when it is sent to a worker. */
export type MemoryBytes = Uint8Array | Uint8ClampedArray | DataView | ArrayBuffer | SharedArrayBuffer;

/**
 * Bytes with memory of their own, which `Blob` and `crypto.subtle` take: `Uint8Array<ArrayBuffer>` from TypeScript 5.7 on, `Uint8Array`
 * before.
 */
export type OwnBytes = ReturnType<Uint8ArrayConstructor["of"]>;

/** Bytes of a file. */
export type Bytes = MemoryBytes | PlatformClass<"Blob">;

/** Returns the name of a value's class, or of the nearest one that the platform defines. */
export const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

const VIEWS: ReadonlySet<string> = new Set(["Uint8Array", "Uint8ClampedArray", "DataView"]);
const BUFFERS: ReadonlySet<string> = new Set(["ArrayBuffer", "SharedArrayBuffer"]);

const has = (value: unknown, method: string): boolean =>
  typeof value === "object" && value !== null && typeof (value as Record<string, unknown>)[method] === "function";

/** Whether a value is a `Blob` or a `File`. */
export const isBlob = (value: unknown): value is Blob =>
  has(value, "slice") && typeof (value as Blob).size === "number" && typeof (value as Blob).type === "string";

/** Reads a `Blob`. Those of jsdom, as Jest has it, are only read by its `FileReader`. */
export async function readBlob(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  if (has(blob, "arrayBuffer")) return toBytes(await blob.arrayBuffer());
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(toBytes(reader.result as ArrayBuffer));
    reader.onerror = () => reject(reader.error);
    reader.readAsArrayBuffer(blob);
  });
}

/** Whether a value is a `File`. */
export const isFile = (value: unknown): value is File =>
  isBlob(value) && "name" in value && typeof value.name === "string";

/** Whether a value is a `FileSystemFileHandle`. */
export const isFileHandle = (value: unknown): value is FileSystemFileHandle => has(value, "getFile");

/** Whether a value is a `FileSystemDirectoryHandle`. */
export const isFolderHandle = (value: unknown): value is FileSystemDirectoryHandle =>
  has(value, "values") && (value as FileSystemHandle).kind === "directory";

/** Whether a value is a `URL`. */
export const isUrl = (value: unknown): value is URL =>
  tagOf(value) === "URL" && typeof (value as URL).href === "string";

/** Whether a value is bytes in memory: a buffer, or a view whose elements are bytes. */
export function isBytes(value: unknown): value is MemoryBytes {
  return BUFFERS.has(tagOf(value)) || (ArrayBuffer.isView(value) && VIEWS.has(tagOf(value)));
}

/**
 * Returns bytes as a `Uint8Array` of this realm: a view of the same memory, or a copy if it is shared or resizable, which
 * neither `Blob` nor `TextDecoder` accepts.
 *
 * @throws ClipError `invalid-source` if the buffer was transferred
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
    throw new ClipError("invalid-source", "the buffer was transferred and has no bytes any more: pass a copy", {
      cause: error,
    });
  }
}
