/** An index in SQLite, over any binding of it. The file is the same in browsers and in Node. */

import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { Filter, IndexChannel, IndexHeader } from "../protocol/index-data.js";
import { BLOCK, Blocks } from "./blocks.js";
import { parseFilter } from "./filter.js";
import { toSql } from "./filter-sql.js";
import type { SqliteAccess, SqliteDatabase, SqlValue } from "./sqlite-database.js";
import { createSchema, isIndex, readHeader, type StoredHeader } from "./sqlite-schema.js";
import {
  exactBytes,
  indexMissing,
  type Rows,
  rowBytes,
  type StoreState,
  type StoreWrite,
  type VectorStore,
  type Written,
} from "./store.js";

/** Bytes of vectors that are read at a time. */
const PIECE = 4 << 20;
/** Most ids that a message names. */
const NAMED = 5;

/** Runs `use` in a transaction, which is undone if it throws. */
async function transaction<T>(
  database: SqliteDatabase,
  begin: "BEGIN" | "BEGIN IMMEDIATE",
  use: () => Promise<T> | T,
): Promise<T> {
  database.exec(begin);
  try {
    const result = await use();
    database.exec("COMMIT");
    return result;
  } catch (error) {
    try {
      database.exec("ROLLBACK");
    } catch {
      // SQLite has undone it by itself, as on a full disk
    }
    throw error;
  }
}

const named = (ids: readonly string[]): string => {
  const names = ids.slice(0, NAMED).map((id) => excerpt(id));
  return ids.length > NAMED ? `${names.join(", ")} and ${ids.length - NAMED} more` : names.join(", ");
};

class SqliteState implements StoreState {
  readonly version: number;
  readonly size: number;
  readonly #database: SqliteDatabase;
  readonly #header: IndexHeader;

  constructor(database: SqliteDatabase, header: StoredHeader) {
    const { version, size, identity } = readHeader(database);
    if (identity !== header.identity)
      throw new ClipError(
        "index-missing",
        "the index was deleted meanwhile, and another one is in its place: open it again",
      );
    this.version = version;
    this.size = size;
    this.#database = database;
    this.#header = header;
  }

  async *rows(since: number): AsyncGenerator<Rows, void, undefined> {
    yield* since > 0 ? this.#changed(since) : this.#all();
  }

  /** The vectors of the items that were written after a version. */
  *#changed(since: number): Generator<Rows, void, undefined> {
    const rows = this.#database.rows("SELECT key FROM items WHERE version > ? ORDER BY key", [since]);
    const keys = Uint32Array.from(rows, ([key]) => key as number);
    const vectors = vectorsOf(this.#database, this.#header);
    const most = Math.ceil(PIECE / rowBytes(this.#header));
    for (let at = 0; at < keys.length; at += most) {
      const part = keys.subarray(at, at + most);
      yield { keys: part, vectors: vectors.read(part) };
    }
  }

  /** All vectors, block by block. What keys there are follows from those that are free: reading all of them would take as long. */
  *#all(): Generator<Rows, void, undefined> {
    const width = rowBytes(this.#header);
    const free = new Set(Array.from(this.#database.rows("SELECT key FROM removed"), ([key]) => key as number)).add(0);
    const end = highestKey(this.#database) + 1;
    const buffer = new Uint8Array(PIECE + Math.max(BLOCK, width));
    let keys: number[] = [];
    const piece = (): Rows => ({ keys: Uint32Array.from(keys), vectors: buffer.subarray(0, keys.length * width) });
    let count = 0;
    for (const [first, rows] of vectorsOf(this.#database, this.#header).all()) {
      for (let key = first, at = 0; at < rows.length && key < end; key++, at += width) {
        if (free.has(key)) continue;
        buffer.set(rows.subarray(at, at + width), keys.length * width);
        keys.push(key);
        count++;
      }
      if (keys.length * width < PIECE) continue;
      yield piece();
      keys = [];
    }
    if (keys.length > 0) yield piece();
    if (count !== this.size)
      throw new ClipError("index-damaged", `the index is damaged: it has ${count} vectors of ${this.size} items`);
  }

  async removed(since: number): Promise<Uint32Array> {
    const rows = this.#database.rows("SELECT key FROM removed WHERE version > ?", [since]);
    return Uint32Array.from(rows, ([key]) => key as number);
  }

  async keys(ids: readonly string[]): Promise<(number | undefined)[]> {
    return ids.map((id) => keyOf(this.#database, id));
  }

  async items(keys: Uint32Array): ReturnType<StoreState["items"]> {
    return Array.from(keys, (key) => {
      const row = this.#database.row(`SELECT ${ID}, metadata FROM items WHERE key = ?`, [key]);
      return row && { id: toId(row[0]), metadata: (row[1] as string | null) ?? undefined };
    });
  }

  async ids(after: number, limit: number): ReturnType<StoreState["ids"]> {
    const sql = `SELECT key, ${ID} FROM items WHERE key > ? ORDER BY key LIMIT ?`;
    return Array.from(this.#database.rows(sql, [after, limit]), ([key, id]) => ({
      key: key as number,
      id: toId(id),
    }));
  }

  async exact(keys: Uint32Array): Promise<Uint8Array> {
    return (exactOf(this.#database, this.#header) ?? vectorsOf(this.#database, this.#header)).read(keys);
  }

  async matching(filter: Filter): Promise<Uint32Array> {
    const parameters: SqlValue[] = [];
    const condition = toSql(parseFilter(filter), parameters as (string | number)[]);
    const rows = this.#database.rows(`SELECT key FROM items WHERE ${condition} ORDER BY key`, parameters);
    return Uint32Array.from(rows, ([key]) => key as number);
  }
}

const vectorsOf = (database: SqliteDatabase, header: IndexHeader) => new Blocks(database, "vectors", rowBytes(header));

/** Exact vectors, where the index keeps them apart. */
const exactOf = (database: SqliteDatabase, header: IndexHeader) =>
  exactBytes(header) > 0 ? new Blocks(database, "exact", exactBytes(header)) : undefined;

/** The highest key that was ever given; 0 if none was. */
const highestKey = (database: SqliteDatabase): number =>
  database.row(
    "SELECT max(ifnull((SELECT max(key) FROM items), 0), ifnull((SELECT max(key) FROM removed), 0))",
  )?.[0] as number;

/** An id as bytes: SQLite's Wasm build drops a byte order mark at the beginning of a text. */
const ID = "CAST(id AS BLOB)";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const toId = (bytes: SqlValue | undefined): string => decoder.decode(bytes as Uint8Array);

const keyOf = (database: SqliteDatabase, id: string): number | undefined =>
  database.row("SELECT key FROM items WHERE id = ?", [id])?.[0] as number | undefined;

/** Keys for new items: those that removed ones left, then the next ones. */
function* freeKeys(database: SqliteDatabase, count: number): Generator<number, void, undefined> {
  const left = Array.from(
    database.rows("SELECT key FROM removed ORDER BY key LIMIT ?", [count]),
    ([key]) => key as number,
  );
  for (const key of left) {
    database.run("DELETE FROM removed WHERE key = ?", [key]);
    yield key;
  }
  for (let key = highestKey(database) + 1; ; key++) yield key;
}

/** Raises the version, and returns what a write did. */
function raise(database: SqliteDatabase, state: StoreState, grown: number, keys: number[]): Written {
  const [version, size] = [state.version + 1, state.size + grown];
  database.run("UPDATE header SET version = ?, size = ?", [version, size]);
  return { before: state.version, version, size, keys: Uint32Array.from(keys) };
}

/** An index in SQLite. */
export class SqliteStore implements VectorStore {
  readonly header: StoredHeader;
  readonly #access: SqliteAccess;
  readonly channel: IndexChannel | undefined;

  private constructor(access: SqliteAccess, header: StoredHeader) {
    this.#access = access;
    this.header = header;
    this.channel = access.channel;
  }

  /** Opens the index in a database, or makes it there; `name` names the place in messages. */
  static async open(access: SqliteAccess, name: string, header: IndexHeader | undefined): Promise<SqliteStore> {
    const found = await access.use(async (database) => {
      const read = () => (isIndex(database, name) ? readHeader(database) : undefined);
      const there = await transaction(database, "BEGIN", read);
      if (there) return there;
      if (!header) throw indexMissing(name);
      return transaction(database, "BEGIN IMMEDIATE", () => {
        // unless another one has made it meanwhile
        if (!isIndex(database, name)) createSchema(database, header);
        return readHeader(database);
      });
    });
    return new SqliteStore(access, found);
  }

  read<T>(use: (state: StoreState) => Promise<T>): Promise<T> {
    return this.#access.use((database) =>
      transaction(database, "BEGIN", () => use(new SqliteState(database, this.header))),
    );
  }

  async #change(change: (database: SqliteDatabase, state: StoreState) => Written): Promise<Written> {
    const written = await this.#access.use((database) =>
      transaction(database, "BEGIN IMMEDIATE", () => change(database, new SqliteState(database, this.header))),
    );
    if (written.version !== written.before) this.#access.changed?.();
    return written;
  }

  write({ mode, ids, vectors, exact, metadata }: StoreWrite): Promise<Written> {
    return this.#change((database, state) => {
      const known = ids.map((id) => keyOf(database, id));
      const wrong = ids.filter((_, i) =>
        mode === "add" ? known[i] !== undefined : mode === "update" && known[i] === undefined,
      );
      if (wrong.length > 0 && mode === "add")
        throw new ClipError("duplicate-id", `the index has ${named(wrong)} already: use put() to replace items`);
      if (wrong.length > 0)
        throw new ClipError("unknown-id", `the index has no ${named(wrong)}: use add() for new items`);
      const fresh = known.filter((key) => key === undefined).length;
      const version = state.version + 1;
      const free = freeKeys(database, fresh);
      const keys = ids.map((id, i): number => {
        const json = metadata?.[i];
        const key = known[i] ?? (free.next().value as number);
        if (known[i] === undefined)
          database.run("INSERT INTO items (key, id, version, metadata) VALUES (?, ?, ?, ?)", [
            key,
            id,
            version,
            json ?? null,
          ]);
        else if (mode === "update" && json === undefined)
          database.run("UPDATE items SET version = ? WHERE key = ?", [version, key]);
        else database.run("UPDATE items SET version = ?, metadata = ? WHERE key = ?", [version, json ?? null, key]);
        return key;
      });
      if (vectors) vectorsOf(database, this.header).write(keys, vectors);
      if (exact) exactOf(database, this.header)?.write(keys, exact);
      return raise(database, state, fresh, keys);
    });
  }

  remove(ids: readonly string[]): Promise<Written> {
    return this.#change((database, state) => {
      const keys = ids.map((id) => keyOf(database, id)).filter((key) => key !== undefined);
      const { version, size } = state;
      if (keys.length === 0) return { before: version, version, size, keys: new Uint32Array() };
      for (const key of keys) {
        database.run("DELETE FROM items WHERE key = ?", [key]);
        database.run("INSERT INTO removed (key, version) VALUES (?, ?)", [key, version + 1]);
      }
      return raise(database, state, -keys.length, keys);
    });
  }

  close(): Promise<void> {
    return this.#access.close();
  }
}
