/** Reads files on disk, in Node. */

import { open, readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { DiskFile } from "./disk.js";

/** Bytes a read. */
const PIECE = 1 << 20;

const unreadable = (path: string, what: string, cause: unknown) =>
  new ClipError("source-unreadable", `cannot read the ${what} ${excerpt(path)}: ${excerpt((cause as Error).message)}`, {
    cause,
  });

/** Lists the files of a folder and below. Follows links, except those that lead back to a folder above. */
export async function* walkDisk(folder: string): AsyncGenerator<DiskFile, void, undefined> {
  yield* walk(folder, "", []);
}

async function* walk(folder: string, prefix: string, above: readonly string[]): AsyncGenerator<DiskFile> {
  const fail = (error: unknown) => {
    throw unreadable(folder, "folder", error);
  };
  const real = await realpath(folder).catch(fail);
  if (above.includes(real)) return;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(fail)) {
    const [location, path] = [join(folder, entry.name), `${prefix}${entry.name}`];
    // a dangling link is listed, and fails when it is read
    const target = entry.isSymbolicLink() ? await stat(location).catch(() => undefined) : entry;
    if (target?.isDirectory()) yield* walk(location, `${path}/`, [...above, real]);
    // no pipes, which could block for ever, and no devices
    else if (target === undefined || target.isFile()) yield { path, location };
  }
}

/** Streams a file. */
export function readDisk(path: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  const file = open(path).catch((error) => {
    throw unreadable(path, "file", error);
  });
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const handle = await file;
      const { bytesRead, buffer } = await handle.read(new Uint8Array(PIECE)).catch((error) => {
        throw unreadable(path, "file", error);
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

/** Bytes of a file. */
export async function sizeOnDisk(path: string): Promise<number> {
  const { size } = await stat(path).catch((error) => {
    throw unreadable(path, "file", error);
  });
  return size;
}

/** Reads a file, or at most `most` bytes of it, which begin at `from`. */
export async function readDiskBytes(path: string, most?: number, from = 0): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(path).catch((error) => {
    throw unreadable(path, "file", error);
  });
  try {
    if (most === undefined) return new Uint8Array(await handle.readFile());
    const { bytesRead, buffer } = await handle.read(new Uint8Array(most), 0, most, from);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw unreadable(path, "file", error);
  } finally {
    await handle.close();
  }
}

/**
 * Returns the spelling of a path that exists on disk: with `/` for `\`, in NFC or NFD, since tables may come from another
 * platform. Returns the path unchanged where no spelling exists.
 */
export async function spelledOnDisk(path: string): Promise<string> {
  const slashed = path.replaceAll("\\", "/");
  const spellings = [path, slashed, slashed.normalize("NFC"), slashed.normalize("NFD")];
  const others = new Set(spellings);
  if (others.size === 1) return path;
  for (const spelling of others) {
    if (await stat(spelling).catch(() => undefined)) return spelling;
  }
  return path;
}
