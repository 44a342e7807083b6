/** Indexes in SQLite files, in Node: by `libsql`, whose binary comes with its npm package. */

import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { IndexHeader, IndexPlace } from "../protocol/index-data.js";
import { SqliteStore } from "./sqlite.js";
import type { SqliteAccess, SqliteDatabase, SqlValue } from "./sqlite-database.js";
import { fromSqlite } from "./sqlite-error.js";
import { isOwnFile, PAGE_SIZE } from "./sqlite-schema.js";
import { Statements } from "./statements.js";
import { indexMissing, type Stores, type VectorStore } from "./store.js";

const EXTENSION = ".sqlite";
/** What SQLite leaves beside a database. */
const COMPANIONS = ["", "-wal", "-shm", "-journal"];
/** Milliseconds that a write waits for that of another process. */
const PATIENCE = 10_000;

/** Part of libsql's API: rows as arrays, numbers as doubles. */
interface LibsqlStatement {
  raw(): LibsqlStatement;
  run(parameters: readonly SqlValue[]): unknown;
  get(parameters: readonly SqlValue[]): unknown[] | undefined;
  iterate(parameters: readonly SqlValue[]): Iterable<unknown[]>;
}
interface LibsqlConnection {
  exec(sql: string): void;
  prepare(sql: string): LibsqlStatement;
  close(): void;
}
type Libsql = new (path: string) => LibsqlConnection;

async function loadLibsql(): Promise<Libsql> {
  try {
    return ((await import("libsql")) as unknown as { default: Libsql }).default;
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const advice = isMissing ? "install it beside clipwright: npm install libsql" : (error as Error).message;
    throw new ClipError("platform-unsupported", `an index needs the package libsql in Node: ${advice}`, {
      cause: error,
    });
  }
}

const columns = (row: unknown[]): SqlValue[] =>
  row.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : (value as SqlValue)));

class LibsqlDatabase implements SqliteDatabase {
  readonly #connection: LibsqlConnection;
  readonly #changes = new Statements((sql) => this.#connection.prepare(sql));
  readonly #queries = new Statements((sql) => this.#connection.prepare(sql).raw());

  constructor(Libsql: Libsql, path: string) {
    this.#connection = this.#checked(() => new Libsql(path));
  }

  #checked<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      const { rawCode, message } = error as { rawCode?: number; message: string };
      // a file that cannot be opened: `… local database PATH: 14")`
      throw fromSqlite(rawCode ?? Number(/: (\d+)"\)$/.exec(message)?.[1] ?? 0), error);
    }
  }

  exec(sql: string): void {
    this.#checked(() => this.#connection.exec(sql));
  }

  run(sql: string, parameters: readonly SqlValue[] = []): void {
    this.#checked(() => this.#changes.get(sql).run(parameters));
  }

  row(sql: string, parameters: readonly SqlValue[] = []): SqlValue[] | undefined {
    const row = this.#checked(() => this.#queries.get(sql).get(parameters));
    return row && columns(row);
  }

  *rows(sql: string, parameters: readonly SqlValue[] = []): Generator<SqlValue[], void, undefined> {
    const rows = this.#checked(() => this.#queries.get(sql).iterate(parameters)[Symbol.iterator]());
    const next = () => this.#checked(() => rows.next());
    let row = next();
    try {
      for (; !row.done; row = next()) yield columns(row.value);
    } finally {
      // a query that is left open holds on to its state of the database
      while (!row.done) row = next();
    }
  }

  close(): void {
    try {
      // libsql closes the file when it has collected the statements: until then it shall have everything in it
      this.#connection.exec("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // another process uses the index: it does so
    }
    this.#changes.clear();
    this.#queries.clear();
    this.#connection.close();
  }
}

/** Directory of the indexes that have names. */
const home = (): string =>
  join(process.env.XDG_DATA_HOME || join(homedir(), ".local", "share"), "clipwright", "indexes");

function fileOf(place: IndexPlace): string {
  if ("name" in place) return join(home(), `${encodeURIComponent(place.name)}${EXTENSION}`);
  if ("path" in place) return resolve(place.path);
  if ("memory" in place) return ":memory:";
  throw new ClipError("platform-unsupported", `there is no store for the address ${excerpt(place.url)}: pass a path`);
}

const nameOf = (place: IndexPlace): string =>
  "name" in place ? excerpt(place.name) : "memory" in place ? "in memory" : excerpt(fileOf(place));

async function openStore(place: IndexPlace, header: IndexHeader | undefined): Promise<VectorStore> {
  const Libsql = await loadLibsql();
  const file = fileOf(place);
  const exists = "memory" in place || (await stat(file).catch(() => undefined)) !== undefined;
  if (!exists && !header) throw indexMissing(nameOf(place));
  if ("name" in place) await mkdir(dirname(file), { recursive: true });
  const database = new LibsqlDatabase(Libsql, file);
  const fileNumber = async () => (await stat(file).catch(() => undefined))?.ino;
  let opened: number | undefined;
  const access: SqliteAccess = {
    async use(use) {
      // what is written to a file that was deleted is lost with it
      if (opened !== undefined && (await fileNumber()) !== opened)
        throw new ClipError("index-missing", `the index ${nameOf(place)} was deleted meanwhile: open it again`);
      return use(database);
    },
    close: async () => database.close(),
  };
  try {
    database.exec(
      `PRAGMA busy_timeout = ${PATIENCE}; ${PAGE_SIZE}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`,
    );
    const store = await SqliteStore.open(access, nameOf(place), header);
    if (!("memory" in place)) opened = await fileNumber();
    return store;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Whether a file is an index by its first bytes, whatever else is damaged in it. */
async function isIndexFile(path: string): Promise<boolean> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(100), 0, 100, 0);
    return bytesRead === 100 && isOwnFile(buffer);
  } finally {
    await handle.close();
  }
}

export const sqliteStores: Stores = {
  open: openStore,

  async delete(place) {
    const file = fileOf(place);
    if (!(await stat(file).catch(() => undefined))) return false;
    // never another file of the user's
    if (!("name" in place) && !(await isIndexFile(file)))
      throw new ClipError("index-damaged", `${excerpt(file)} does not look like an index: delete the file yourself`);
    for (const companion of COMPANIONS) await rm(`${file}${companion}`, { force: true });
    return true;
  },

  async list() {
    const files = await readdir(home()).catch((): string[] => []);
    return files
      .filter((file) => file.endsWith(EXTENSION))
      .map((file) => decodeURIComponent(file.slice(0, -EXTENSION.length)))
      .sort();
  },
};
