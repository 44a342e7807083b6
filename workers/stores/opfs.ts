/** Indexes in the origin's private file system (OPFS), by SQLite's Wasm build and its VFS `opfs-sahpool`: docs/decisions/0044. */

import type { SAHPoolUtil, Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { IndexChange, IndexChannel, IndexPlace } from "../protocol/index-data.js";
import { SqliteStore } from "./sqlite.js";
import type { SqliteAccess, SqliteDatabase } from "./sqlite-database.js";
import { inMemory, WasmDatabase } from "./sqlite-wasm.js";
import { indexMissing, type Stores } from "./store.js";

/** Folder of all indexes; each has a folder of its own in it, which its VFS manages. */
const FOLDER = "clipwright/indexes";
/** Name of the database in a VFS. */
const FILE = "/index.sqlite";
/** Files of a VFS: the database, its journal, and one to spare. */
const CAPACITY = 3;
/** Milliseconds without a call after which a worker lets go of its database: browsers may freeze a tab at any time. */
const IDLE = 500;
/** Milliseconds between requests to a worker that has the database. */
const ASK = 100;
/** Milliseconds that a call waits for the files of a worker that was just terminated. */
const PATIENCE = 10_000;
const RETRY = 20;

/** Otherwise it deletes all files if it cannot open one, remembers that it failed, and writes to the console. */
const OPEN_POOL = { preserveOnInitFailure: true, forceReinitIfPreviouslyFailed: true, verbosity: 0 };

/** What the workers of an index tell each other. */
type Message = "release" | IndexChange;

const lockOf = (name: string) => `clipwright index ${name}`;

const folderOf = (name: string) => encodeURIComponent(name);

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Takes an index's lock, for which it asks the worker that has it; returns how to release it. */
async function takeLock(name: string, messages: BroadcastChannel): Promise<() => void> {
  const ask = () => messages.postMessage("release" satisfies Message);
  const asking = setInterval(ask, ASK);
  ask();
  try {
    return await new Promise((taken, failed) => {
      navigator.locks.request(lockOf(name), () => new Promise<void>((release) => taken(() => release()))).catch(failed);
    });
  } finally {
    clearInterval(asking);
  }
}

/**
 * The database of an index, which one worker at a time may open. A worker keeps it until it has been idle for a while, or until another
 * one asks for it between two calls.
 */
class OpfsAccess implements SqliteAccess {
  readonly channel: IndexChannel;
  readonly #name: string;
  readonly #sqlite: Sqlite3Static;
  readonly #messages: BroadcastChannel;
  #pool: SAHPoolUtil | undefined;
  #held: { database: WasmDatabase; unlock: () => void } | undefined;
  #isBusy = false;
  #isWanted = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(sqlite: Sqlite3Static, name: string) {
    this.#sqlite = sqlite;
    this.#name = name;
    this.channel = { name: lockOf(name), writer: crypto.randomUUID() };
    this.#messages = new BroadcastChannel(this.channel.name);
    this.#messages.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data !== "release") return;
      this.#isWanted = true;
      if (!this.#isBusy) this.#release();
    };
  }

  async use<T>(use: (database: SqliteDatabase) => Promise<T> | T): Promise<T> {
    clearTimeout(this.#idle);
    this.#isBusy = true;
    try {
      this.#held ??= await this.#acquire();
      return await use(this.#held.database);
    } finally {
      this.#isBusy = false;
      if (this.#isWanted) this.#release();
      else this.#idle = setTimeout(() => this.#release(), IDLE);
    }
  }

  async #acquire(): Promise<{ database: WasmDatabase; unlock: () => void }> {
    const unlock = await takeLock(this.#name, this.#messages);
    this.#isWanted = false;
    try {
      const pool = await this.#openPool();
      const database = new WasmDatabase(() => new pool.OpfsSAHPoolDb(FILE));
      database.exec("PRAGMA journal_mode = TRUNCATE");
      return { database, unlock };
    } catch (error) {
      this.#pool?.pauseVfs();
      unlock();
      throw error;
    }
  }

  /** Opens the files of the VFS. Those of a worker that was terminated are free a moment after its lock. */
  async #openPool(): Promise<SAHPoolUtil> {
    for (const end = performance.now() + PATIENCE; ; await wait(RETRY)) {
      try {
        if (this.#pool) return await this.#pool.unpauseVfs();
        this.#pool = await this.#sqlite.installOpfsSAHPoolVfs({
          name: `clipwright-${folderOf(this.#name)}`,
          directory: `${FOLDER}/${folderOf(this.#name)}`,
          initialCapacity: CAPACITY,
          ...OPEN_POOL,
        });
        // a worker that was killed while it made the index may have left fewer
        await this.#pool.reserveMinimumCapacity(CAPACITY);
        return this.#pool;
      } catch (error) {
        const { name, message } = error as Error;
        const isHeld = name === "NoModificationAllowedError";
        if (isHeld && performance.now() < end) continue;
        if (this.#pool && name === "NotFoundError")
          throw new ClipError("index-missing", `the index ${excerpt(this.#name)} was deleted meanwhile`, {
            cause: error,
          });
        const code = isHeld ? "index-busy" : "platform-unsupported";
        throw new ClipError(code, `cannot open the files of the index ${excerpt(this.#name)}: ${message}`, {
          cause: error,
        });
      }
    }
  }

  #release(): void {
    clearTimeout(this.#idle);
    if (!this.#held) return;
    const { database, unlock } = this.#held;
    this.#held = undefined;
    this.#isWanted = false;
    database.close();
    this.#pool?.pauseVfs();
    unlock();
  }

  changed(): void {
    this.#messages.postMessage({ writer: this.channel.writer } satisfies Message);
  }

  async close(): Promise<void> {
    this.#release();
    this.#messages.close();
  }
}

/** @throws ClipError `platform-unsupported` where pages may keep no files */
async function openFolder(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  const unsupported = (reason: string, cause?: unknown) =>
    new ClipError(
      "platform-unsupported",
      `this browser keeps no index: ${reason}. Open one in memory: VectorIndex.inMemory()`,
      { cause },
    );
  const has = typeof navigator.storage?.getDirectory === "function" && typeof navigator.locks === "object";
  if (!has || typeof FileSystemFileHandle?.prototype.createSyncAccessHandle !== "function")
    throw unsupported("it has no private file system for pages, or hides it on pages without HTTPS");
  try {
    let folder = await navigator.storage.getDirectory();
    for (const name of FOLDER.split("/")) folder = await folder.getDirectoryHandle(name, { create });
    return folder;
  } catch (error) {
    if ((error as Error).name === "NotFoundError" && !create) return undefined;
    throw unsupported((error as Error).message, error);
  }
}

async function names(): Promise<string[]> {
  const folder = await openFolder(false);
  const found: string[] = [];
  for await (const name of folder?.keys() ?? []) found.push(decodeURIComponent(name));
  return found.sort();
}

function nameOf(place: IndexPlace): string {
  if ("name" in place) return place.name;
  throw new ClipError("platform-unsupported", "browsers keep indexes under a name, not at a path or an address");
}

/** Indexes in OPFS, and in memory; `load` instantiates SQLite. */
export const opfsStores = (load: () => Promise<Sqlite3Static>): Stores => ({
  async open(place, header) {
    if ("memory" in place) {
      const database = inMemory(await load());
      const access: SqliteAccess = { use: async (use) => use(database), close: async () => database.close() };
      return SqliteStore.open(access, "in memory", header);
    }
    const name = nameOf(place);
    await openFolder(header !== undefined);
    if (!header && !(await names()).includes(name)) throw indexMissing(excerpt(name));
    const access = new OpfsAccess(await load(), name);
    try {
      return await SqliteStore.open(access, excerpt(name), header);
    } catch (error) {
      await access.close();
      throw error;
    }
  },

  async delete(place) {
    const name = nameOf(place);
    if (!(await names()).includes(name)) return false;
    const messages = new BroadcastChannel(lockOf(name));
    const unlock = await takeLock(name, messages);
    try {
      await (await openFolder(false))?.removeEntry(folderOf(name), { recursive: true });
    } finally {
      unlock();
      messages.close();
    }
    return true;
  },

  list: names,
});
