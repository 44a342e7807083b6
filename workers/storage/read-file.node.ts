/** Reads files on disk. */

import { open, readFile } from "node:fs/promises";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";

/** Bytes read at a time. */
const PIECE = 8 << 20;

/** Whether an error says that a file does not exist. */
export const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT";

/**
 * Reads a file of the caller.
 *
 * @throws ClipError `source-unreadable`
 */
export async function readPath(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    // Node's message ends with the path, which is named already
    const reason = (error as Error).message.replace(/, \w+ '.*'$/s, "");
    throw new ClipError("source-unreadable", `cannot read the file ${excerpt(path)}: ${excerpt(reason)}`, {
      cause: error,
    });
  }
}

/** Reads the bytes `[begin, end)` of a file. Each piece is only valid until the next. */
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
