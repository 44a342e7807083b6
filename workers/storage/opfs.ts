/** Folders in a browser: the origin's private file system. */

import { ClipError } from "../protocol/error.js";
import type { FileAppender, Folder, ResolvedPath } from "./folder.js";

/** The cache's. */
const CACHE = "clipwright";
const PIECE = 8 << 20;

/** Not in TypeScript's library yet. */
interface MovableHandle extends FileSystemFileHandle {
  move(name: string): Promise<void>;
}

const isMissing = (error: unknown) => (error as Error).name === "NotFoundError";

/** The cache's folder, or nothing where the browser has none (an insecure page, a private window). */
export async function openCacheFolder(): Promise<Folder | undefined> {
  return makeFolder(CACHE).catch(() => undefined);
}

const parts = (path: string) => path.split("/").filter(Boolean);

async function folderAt(names: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of names) folder = await folder.getDirectoryHandle(name, { create });
  return folder;
}

/** A folder, made where it is not there. */
export async function makeFolder(path: string): Promise<Folder> {
  return new OpfsFolder(await folderAt(parts(path), true));
}

/** Where a path leads. */
export async function resolvePath(path: string): Promise<ResolvedPath> {
  const names = parts(path);
  const file = names.pop() ?? "";
  const parent = await folderAt(names, false);
  if (file === "") return { store: new OpfsFolder(parent) };
  const folder = await parent.getDirectoryHandle(file).catch(() => undefined);
  return folder ? { store: new OpfsFolder(folder) } : { store: new OpfsFolder(parent), file };
}

class OpfsFolder implements Folder {
  readonly #folder: FileSystemDirectoryHandle;

  constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  async #file(name: string): Promise<File | undefined> {
    try {
      return await (await this.#folder.getFileHandle(name)).getFile();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async size(name: string): Promise<number | undefined> {
    return (await this.#file(name))?.size;
  }

  async *stream(name: string, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await this.#file(name);
    for (let at = begin; file && at < end; at += PIECE) {
      const piece = new Uint8Array(await file.slice(at, Math.min(end, at + PIECE)).arrayBuffer());
      if (piece.length === 0) throw new ClipError("source-unreadable", `${name}: expected ${end} bytes, got ${at}`);
      yield piece;
    }
  }

  async append(name: string): Promise<FileAppender> {
    const handle = await this.#folder.getFileHandle(name, { create: true });
    const access = await handle.createSyncAccessHandle();
    let size = access.getSize();
    return {
      get size() {
        return size;
      },
      async write(bytes) {
        const written = access.write(bytes as Uint8Array<ArrayBuffer>, { at: size });
        size += written;
        // some browsers write what fits and say so
        if (written < bytes.length) throw new DOMException("the disk is full", "QuotaExceededError");
      },
      async close() {
        access.flush();
        access.close();
      },
    };
  }

  async readText(name: string): Promise<string | undefined> {
    return (await this.#file(name))?.text();
  }

  async writeText(name: string, text: string): Promise<void> {
    // a writable stream replaces the file when it is closed
    const writable = await (await this.#folder.getFileHandle(name, { create: true })).createWritable();
    await writable.write(text);
    await writable.close();
  }

  async rename(from: string, to: string): Promise<void> {
    await ((await this.#folder.getFileHandle(from)) as MovableHandle).move(to);
  }

  async remove(name: string): Promise<void> {
    await this.#folder.removeEntry(name).catch((error) => {
      if (!isMissing(error)) throw error;
    });
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#folder.keys()) names.push(name);
    return names;
  }

  exclusively<T>(name: string, use: () => Promise<T>): Promise<T> {
    return navigator.locks.request(`clipwright ${name}`, use);
  }
}
