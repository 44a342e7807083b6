/** Tables of an index. What changes here changes the format: raise `FORMAT`. */

import { ClipError } from "../protocol/error.js";
import type { IndexHeader, VectorStorage } from "../protocol/index-data.js";
import type { SqliteDatabase, SqlValue } from "./sqlite.js";

/** `PRAGMA user_version`. */
const FORMAT = 1;
/** `PRAGMA application_id`: "CLPW". */
const APPLICATION = 0x434c_5057;

/** Before the first table: a page has room for several vectors of 512 numbers, of which 4,096 bytes hold one. */
export const PAGE_SIZE = "PRAGMA page_size = 16384";

/**
 * `version` of an item is that of the write that made it; `removed` has the keys that are free, and which write freed them: other tabs
 * read both to catch up. Vectors lie apart from items and from exact ones, so that opening reads nothing but them.
 */
const TABLES = `
CREATE TABLE header (
  dimension INTEGER NOT NULL, storage TEXT NOT NULL, model TEXT, version INTEGER NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE TABLE items (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, metadata TEXT) STRICT;
CREATE INDEX items_version ON items (version);
CREATE TABLE vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT;
CREATE TABLE exact (key INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT;
CREATE TABLE removed (key INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;
PRAGMA application_id = ${APPLICATION};
PRAGMA user_version = ${FORMAT};
`;

const pragma = (database: SqliteDatabase, name: string): SqlValue | undefined => [...database.rows(`PRAGMA ${name}`)][0]?.[0];

/**
 * Returns the header of the index in a database; `undefined` if that is empty.
 *
 * @throws ClipError `index-newer`, `index-damaged`
 */
export function checkSchema(database: SqliteDatabase, name: string): IndexHeader | undefined {
  const [application, format] = [pragma(database, "application_id"), pragma(database, "user_version") as number];
  if (application !== APPLICATION) {
    const isEmpty = pragma(database, "schema_version") === 0;
    if (isEmpty) return undefined;
    throw new ClipError("index-damaged", `${name} is an SQLite database, but no index of clipwright: choose another file`);
  }
  if (format > FORMAT)
    throw new ClipError("index-newer", `the index ${name} was written by a newer clipwright (format ${format}, and this one reads ${FORMAT}): update it`);
  const header = [...database.rows("SELECT dimension, storage, model FROM header")][0];
  if (!header) throw new ClipError("index-damaged", `the index ${name} is damaged: it has no header`);
  const [dimension, storage, model] = header;
  return { dimension: dimension as number, storage: storage as VectorStorage, model: (model as string | null) ?? undefined };
}

/** Makes an index in an empty database. */
export function createSchema(database: SqliteDatabase, { dimension, storage, model }: IndexHeader): void {
  database.exec(TABLES);
  database.run("INSERT INTO header VALUES (?, ?, ?, 0, 0)", [dimension, storage, model ?? null]);
}
