/** Where the state of a training is kept, and how it gets there. */

import { type Bytes, isBlob, isBytes, isFileHandle, toBytes } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { describeType, describeValue } from "../options/describe.js";

/** A file that a picker or the origin's private file system gave, or in Node a path. */
export type StateTarget = FileSystemFileHandle | string;

/** What {@link StateTarget} names, or the bytes themselves. */
export type StateSource = StateTarget | Bytes;

/** Bytes of a state, or the path that the worker reads them from. */
export async function readState(source: StateSource): Promise<Uint8Array | string> {
  if (typeof source === "string" && source !== "") return source;
  if (isBytes(source)) return toBytes(source);
  if (!isFileHandle(source) && !isBlob(source)) {
    throw new ClipError("invalid-source", `expected bytes, a file handle or a path, got ${describeType(source)}`);
  }
  try {
    const file = isFileHandle(source) ? await source.getFile() : source;
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `expected a file that can be read, got: ${message}`, { cause: error });
  }
}

/** @throws ClipError `invalid-source` for what cannot be written to */
export function checkTarget(target: StateTarget): void {
  if ((typeof target === "string" && target !== "") || isFileHandle(target)) return;
  throw new ClipError("invalid-source", `expected a file handle or a path, got ${describeValue(target)}`);
}

/** Writes a file, whole or not at all: a writable stream takes the file's place when it is closed. */
export async function writeState(target: FileSystemFileHandle, bytes: Uint8Array): Promise<void> {
  try {
    const writable = await target.createWritable();
    await writable.write(bytes as Uint8Array<ArrayBuffer>);
    await writable.close();
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("target-unwritable", `expected to write ${target.name}, got: ${message}`, { cause: error });
  }
}
