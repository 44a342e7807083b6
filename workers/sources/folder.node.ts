/** A folder or a file on disk, in Node. */

import { open, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ClipError } from "../error.js";
import type { Source, SourceFile } from "./source.js";

const PIECE = 8 << 20;

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT";

/** Files of a folder, or one of them and its neighbours. */
export class FolderSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #folder: string;

  private constructor(folder: string, only: string | undefined) {
    this.label = only === undefined ? folder : join(folder, only);
    this.#folder = folder;
    this.only = only;
  }

  static async open(path: string): Promise<FolderSource> {
    try {
      const found = await stat(path);
      return found.isDirectory() ? new FolderSource(path, undefined) : new FolderSource(dirname(path), basename(path));
    } catch (error) {
      const { message } = error as Error;
      throw new ClipError("source-unreadable", `expected a folder or a file at ${path}, got: ${message}`, {
        cause: error,
      });
    }
  }

  async list(): Promise<string[]> {
    return readdir(this.#folder);
  }

  async text(name: string): Promise<string | undefined> {
    return readFile(join(this.#folder, name), "utf8").catch((error) => {
      if (isMissing(error)) return undefined;
      throw new ClipError("source-unreadable", `${name}: ${(error as Error).message}`, { cause: error });
    });
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const path = join(this.#folder, name);
    const found = await stat(path).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    return found && { name, size: found.size, stream: (begin, end) => readPieces(path, begin, end) };
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
      if (bytesRead === 0) throw new ClipError("source-unreadable", `${path}: expected ${end} bytes, got ${at}`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}
