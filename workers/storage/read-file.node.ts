/** Files on disk. */

import { open, readFile } from "node:fs/promises";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";

const PIECE = 8 << 20;

/** A file of the caller's. */
export async function readPath(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    // the path stands in it once more
    const reason = (error as Error).message.replace(/, \w+ '.*'$/s, "");
    throw new ClipError("source-unreadable", `expected a file at ${excerpt(path)}, got: ${excerpt(reason)}`, {
      cause: error,
    });
  }
}

/** Bytes of a file on disk. */
export async function* readPieces(
  path: string,
  begin: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (begin >= end) return;
  const handle = await open(path);
  try {
    const buffer = new Uint8Array(Math.min(PIECE, end - begin));
    for (let at = begin; at < end; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0)
        throw new ClipError("source-unreadable", `${excerpt(path)}: expected ${end} bytes, got ${at}`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}
