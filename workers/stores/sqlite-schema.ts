/** Tables of an index. What changes here changes the format: raise `FORMAT`. */

import { ClipError } from "../protocol/error.js";
import type { IndexHeader, VectorStorage } from "../protocol/index-data.js";
import type { SqliteDatabase, SqlValue } from "./sqlite-database.js";

/** `PRAGMA user_version`. */
const FORMAT = 1;
/** `PRAGMA application_id`: "CLPW". */
const APPLICATION = 0x434c_5057;

/** Before the first table: a page holds a block of vectors. Pages of 4,096 bytes take twice the time. */
export const PAGE_SIZE = "PRAGMA page_size = 32768";

/**
 * `version` of an item is that of the write that made it; `removed` has the keys that are free, and which write freed them: other tabs
 * read both to catch up. Every key from 1 on is in one of these tables. Vectors lie apart from items and from exact ones, so that
 * opening reads nothing but them.
 */
const TABLES = `
CREATE TABLE header (
  dimension INTEGER NOT NULL, storage TEXT NOT NULL, model TEXT, identity TEXT NOT NULL, version INTEGER NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE TABLE items (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, metadata TEXT) STRICT;
CREATE INDEX items_version ON items (version);
CREATE TABLE vectors (block INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
CREATE TABLE exact (block INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
CREATE TABLE removed (key INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;
PRAGMA application_id = ${APPLICATION};
PRAGMA user_version = ${FORMAT};
`;

/** The header, and what changes beside it. */
export interface StoredHeader extends IndexHeader {
  /** Tells an index from another one that took its place. */
  identity: string;
  version: number;
  size: number;
}

/**
 * Whether a database holds an index; `false` if it is empty.
 *
 * @throws ClipError `index-newer`, `index-damaged`
 */
export function isIndex(database: SqliteDatabase, name: string): boolean {
  const pragma = (name: string): SqlValue | undefined => database.row(`PRAGMA ${name}`)?.[0];
  const format = pragma("user_version") as number;
  if (pragma("application_id") !== APPLICATION) {
    if (pragma("schema_version") === 0) return false;
    throw new ClipError(
      "index-damaged",
      `${name} is a database of another program: choose another place for the index`,
    );
  }
  if (format <= FORMAT) return true;
  throw new ClipError(
    "index-newer",
    `the index ${name} was written by a newer clipwright, in format ${format}; this one reads ${FORMAT}: update it`,
  );
}

/** @throws ClipError `index-damaged`, `index-missing` */
export function readHeader(database: SqliteDatabase): StoredHeader {
  const row = database.row("SELECT dimension, storage, model, identity, version, size FROM header");
  if (!row) throw new ClipError("index-damaged", "the index is damaged: it has no header");
  const [dimension, storage, model, identity, version, size] = row as [
    number,
    VectorStorage,
    string | null,
    string,
    number,
    number,
  ];
  return { dimension, storage, model: model ?? undefined, identity, version, size };
}

/** Makes an index in an empty database. */
export function createSchema(database: SqliteDatabase, { dimension, storage, model }: IndexHeader): void {
  database.exec(TABLES);
  database.run("INSERT INTO header VALUES (?, ?, ?, ?, 0, 0)", [
    dimension,
    storage,
    model ?? null,
    crypto.randomUUID(),
  ]);
}

/** Whether the first 100 bytes of a file are those of an index. */
export function isOwnFile(head: Uint8Array): boolean {
  const magic = String.fromCharCode(...head.subarray(0, 16));
  return magic === "SQLite format 3\0" && new DataView(head.buffer, head.byteOffset).getUint32(68) === APPLICATION;
}
