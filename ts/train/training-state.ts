/** Reads and writes training states. */

import { type Bytes, isBlob, isBytes, isFileHandle, readBlob, toBytes } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { describeType, describeValue } from "../options/describe.js";

/** A file handle of a picker or of the origin private file system; in Node a path. */
export type StateTarget = PlatformClass<"FileSystemFileHandle"> | string;

/** A {@link StateTarget}, or the bytes of a state. */
export type StateSource = StateTarget | Bytes;

/**
 * Returns the bytes of a state, or the path that the worker reads.
 *
 * @throws ClipError `invalid-source`, `source-unreadable`
 */
export async function readState(source: StateSource): Promise<Uint8Array | string> {
  if (typeof source === "string" && source !== "") return source;
  if (isBytes(source)) return toBytes(source);
  if (!isFileHandle(source) && !isBlob(source)) {
    throw new ClipError("invalid-source", `expected bytes, a file handle or a path, got ${describeType(source)}`);
  }
  try {
    const file = isFileHandle(source) ? await source.getFile() : source;
    return await readBlob(file);
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `cannot read the training state: ${message}`, { cause: error });
  }
}

/** @throws ClipError `invalid-source` for anything but a file handle or a path */
export function checkTarget(target: StateTarget): void {
  if ((typeof target === "string" && target !== "") || isFileHandle(target)) return;
  throw new ClipError("invalid-source", `expected a file handle or a path, got ${describeValue(target)}`);
}

/**
 * Writes a file whole or not at all: a writable stream replaces the file when it is closed.
 *
 * @throws ClipError `target-unwritable`
 */
export async function writeState(target: FileSystemFileHandle, bytes: Uint8Array): Promise<void> {
  if (!("createWritable" in target)) {
    const instead = "call saveCheckpoint() without a target and offer its bytes as a download";
    throw new ClipError("target-unwritable", `this browser cannot write through file handles: ${instead}`);
  }
  try {
    const writable = await target.createWritable();
    await writable.write(bytes as Uint8Array<ArrayBuffer>);
    await writable.close();
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("target-unwritable", `cannot write ${target.name}: ${message}`, { cause: error });
  }
}
