/** Files on disk, in Node. */

import { open, readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { ClipError } from "../workers/error.js";
import type { DiskFile } from "./disk.js";

const PIECE = 1 << 20;

const unreadable = (path: string, what: string, cause: unknown) =>
  new ClipError("source-unreadable", `expected ${what} at ${path}, got: ${(cause as Error).message}`, { cause });

/** All files of a folder and of those in it. */
export async function* walkDisk(folder: string): AsyncGenerator<DiskFile, void, undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error) => {
    throw unreadable(folder, "a folder", error);
  });
  for (const entry of entries) {
    // `parentPath` came with Node 20.12; links are files to whoever made them
    if (entry.isDirectory()) continue;
    const location = join(entry.parentPath, entry.name);
    yield { path: relative(folder, location).split(sep).join("/"), location };
  }
}

/** Bytes of a file. */
export function readDisk(path: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  const file = open(path).catch((error) => {
    throw unreadable(path, "a file", error);
  });
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const handle = await file;
      const { bytesRead, buffer } = await handle.read(new Uint8Array(PIECE)).catch((error) => {
        throw unreadable(path, "a file", error);
      });
      if (bytesRead > 0) return controller.enqueue(buffer.subarray(0, bytesRead));
      await handle.close();
      controller.close();
    },
    async cancel() {
      await (await file).close();
    },
  });
}
