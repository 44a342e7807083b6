/** Folders in a browser: of the origin's private file system (OPFS). */

import { ClipError } from "../protocol/error.js";
import type { FileAppender, Folder, ResolvedPath } from "./folder.js";

/** Path of the cache's folder. */
const CACHE = "clipwright";
/** Bytes read at a time. */
const PIECE = 8 << 20;

/** `move` is not in TypeScript's library yet. */
interface MovableHandle extends FileSystemFileHandle {
  move(name: string): Promise<void>;
}

const isMissing = (error: unknown) => (error as Error).name === "NotFoundError";

/** Opens the cache's folder; `undefined` if the browser has no OPFS (an insecure page, a private window). */
export async function openCacheFolder(): Promise<Folder | undefined> {
  return makeFolder(CACHE).catch(() => undefined);
}

const parts = (path: string) => path.split("/").filter(Boolean);

async function folderAt(names: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle> {
  // WebKitGTK, insecure pages
  if (!navigator.storage?.getDirectory) throw new Error("the browser keeps no files for this page");
  let folder = await navigator.storage.getDirectory();
  for (const name of names) folder = await folder.getDirectoryHandle(name, { create });
  return folder;
}

/** Opens a folder, creating it if needed. */
export async function makeFolder(path: string): Promise<Folder> {
  return new OpfsFolder(await folderAt(parts(path), true));
}

/** Resolves a path to a folder, or a file in one; throws if its parent does not exist. */
export async function resolvePath(path: string): Promise<ResolvedPath> {
  const names = parts(path);
  const file = names.pop() ?? "";
  const parent = await folderAt(names, false);
  if (file === "") return { folder: new OpfsFolder(parent) };
  const handle = await parent.getDirectoryHandle(file).catch(() => undefined);
  return handle ? { folder: new OpfsFolder(handle) } : { folder: new OpfsFolder(parent), file };
}

class OpfsFolder implements Folder {
  readonly #handle: FileSystemDirectoryHandle;

  constructor(handle: FileSystemDirectoryHandle) {
    this.#handle = handle;
  }

  async #file(name: string): Promise<File | undefined> {
    try {
      return await (await this.#handle.getFileHandle(name)).getFile();
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
    const handle = await this.#handle.getFileHandle(name, { create: true });
    const access = await handle.createSyncAccessHandle();
    let size = access.getSize();
    return {
      get size() {
        return size;
      },
      async write(bytes) {
        const written = access.write(bytes as Uint8Array<ArrayBuffer>, { at: size });
        size += written;
        // some browsers write less than asked on a full disk
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
    if ("createWritable" in FileSystemFileHandle.prototype) {
      // replaces the file when it is closed
      const writable = await (await this.#handle.getFileHandle(name, { create: true })).createWritable();
      await writable.write(text);
      return writable.close();
    }
    // Safari before 26. A crash between the last two lines loses the file: the cache downloads it anew
    const fresh = `${name}.new`;
    await this.remove(fresh);
    const file = await this.append(fresh);
    await file.write(new TextEncoder().encode(text));
    await file.close();
    await this.remove(name);
    await this.rename(fresh, name);
  }

  async rename(from: string, to: string): Promise<void> {
    await ((await this.#handle.getFileHandle(from)) as MovableHandle).move(to);
  }

  async remove(name: string): Promise<void> {
    await this.#handle.removeEntry(name).catch((error) => {
      if (!isMissing(error)) throw error;
    });
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#handle.keys()) names.push(name);
    return names;
  }

  exclusively<T>(name: string, use: () => Promise<T>): Promise<T> {
    return navigator.locks.request(`clipwright ${name}`, use);
  }
}
