/** Folders in Node: directories. */

import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { FileAppender, Folder, ResolvedPath } from "./folder.js";
import { isMissing, readPieces } from "./read-file.node.js";

/** Milliseconds between updates of a lock's modification time by its holder. */
const HEARTBEAT = 1_000;
/** Milliseconds without an update after which a lock's holder counts as killed. */
const STALE = 5_000;
/** Milliseconds between attempts to take a lock. */
const POLL = 200;

/** Opens the cache's directory, under `$XDG_CACHE_HOME`; `undefined` if it cannot be created (a read-only file system). */
export async function openCacheFolder(): Promise<Folder | undefined> {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(base, "clipwright", "models");
  return makeFolder(folder).catch(() => undefined);
}

/** Opens a directory, creating it if needed. */
export async function makeFolder(path: string): Promise<Folder> {
  await mkdir(path, { recursive: true });
  return new DiskFolder(path);
}

/** Resolves a path to a directory, or a file in one. */
export async function resolvePath(path: string): Promise<ResolvedPath> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return { folder: new DiskFolder(path) };
  return { folder: new DiskFolder(dirname(path)), file: basename(path) };
}

class DiskFolder implements Folder {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  async size(name: string): Promise<number | undefined> {
    try {
      return (await stat(this.#path(name))).size;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  stream(name: string, begin: number, end: number): AsyncIterable<Uint8Array> {
    return readPieces(this.#path(name), begin, end);
  }

  async append(name: string): Promise<FileAppender> {
    const handle = await open(this.#path(name), "a");
    let { size } = await handle.stat();
    return {
      get size() {
        return size;
      },
      async write(bytes) {
        await handle.writeFile(bytes);
        size += bytes.length;
      },
      async close() {
        await handle.sync();
        await handle.close();
      },
    };
  }

  async readText(name: string): Promise<string | undefined> {
    return readFile(this.#path(name), "utf8").catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  }

  async writeText(name: string, text: string): Promise<void> {
    const temporary = this.#path(`${name}.${process.pid}.tmp`);
    await writeFile(temporary, text);
    await rename(temporary, this.#path(name));
  }

  rename(from: string, to: string): Promise<void> {
    return rename(this.#path(from), this.#path(to));
  }

  remove(name: string): Promise<void> {
    return rm(this.#path(name), { force: true });
  }

  list(): Promise<string[]> {
    return readdir(this.#directory);
  }

  async exclusively<T>(name: string, use: () => Promise<T>): Promise<T> {
    const lock = this.#path(`${name}.lock`);
    while (!(await tryLock(lock))) await setTimeout(POLL);
    const heartbeat = setInterval(() => {
      const now = new Date();
      // the lock may have been removed
      utimes(lock, now, now).catch(() => undefined);
    }, HEARTBEAT);
    try {
      return await use();
    } finally {
      clearInterval(heartbeat);
      await rm(lock, { force: true });
    }
  }
}

/** Takes a lock if it is free; removes it if its holder was killed. */
async function tryLock(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const last = await stat(lock).catch(() => undefined);
    if (last && Date.now() - last.mtimeMs > STALE) await rm(lock, { force: true });
    return false;
  }
}
