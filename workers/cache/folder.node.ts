/** The cache in Node: a directory under `$XDG_CACHE_HOME`. */

import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { readPieces } from "../sources/folder.node.js";
import type { Appender, Store } from "./store.js";

const isMissing = (error: unknown) => (error as NodeJS.ErrnoException).code === "ENOENT";

/** The directory, or nothing where none can be made (a read-only file system). */
export async function openFolder(): Promise<Store | undefined> {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(base, "clipwright", "models");
  try {
    await mkdir(folder, { recursive: true });
    return new FolderStore(folder);
  } catch {
    return undefined;
  }
}

class FolderStore implements Store {
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

  async append(name: string): Promise<Appender> {
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

  async exclusively<T>(name: string, use: () => Promise<T>): Promise<T | undefined> {
    const lock = this.#path(`${name}.lock`);
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
    } catch {
      const holder = Number(await readFile(lock, "utf8").catch(() => "0"));
      if (isAlive(holder)) return undefined;
      // left by a process that was killed
      await writeFile(lock, String(process.pid));
    }
    try {
      return await use();
    } finally {
      await rm(lock, { force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
