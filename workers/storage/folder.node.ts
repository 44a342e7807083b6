/** Folders in Node: directories, the cache's own under `$XDG_CACHE_HOME`. */

import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { FileAppender, Folder, ResolvedPath } from "./folder.js";
import { readPieces } from "./read-file.node.js";

/** Milliseconds between a lock holder's signs of life, after which it counts as dead, and between looks at it. */
const BEAT = 1_000;
const STALE = 5_000;
const POLL = 200;

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT";

/** The cache's directory, or nothing where none can be made (a read-only file system). */
export async function openCacheFolder(): Promise<Folder | undefined> {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(base, "clipwright", "models");
  return makeFolder(folder).catch(() => undefined);
}

/** A directory, made where it is not there. */
export async function makeFolder(path: string): Promise<Folder> {
  await mkdir(path, { recursive: true });
  return new DiskFolder(path);
}

/** Where a path leads. */
export async function resolvePath(path: string): Promise<ResolvedPath> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return { store: new DiskFolder(path) };
  return { store: new DiskFolder(dirname(path)), file: basename(path) };
}

class DiskFolder implements Folder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(name: string): string {
    return join(this.#folder, name);
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
    return readdir(this.#folder);
  }

  async exclusively<T>(name: string, use: () => Promise<T>): Promise<T> {
    const lock = this.#path(`${name}.lock`);
    while (!(await taken(lock))) await setTimeout(POLL);
    const beat = setInterval(() => {
      const now = new Date();
      // a lock that somebody removed is none
      utimes(lock, now, now).catch(() => undefined);
    }, BEAT);
    try {
      return await use();
    } finally {
      clearInterval(beat);
      await rm(lock, { force: true });
    }
  }
}

/** Takes a lock that is free, or whose holder no longer shows a sign of life: it was killed. */
async function taken(lock: string): Promise<boolean> {
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
