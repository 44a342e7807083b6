/** What an index needs of a binding of SQLite. */

import type { IndexChannel } from "../protocol/index-data.js";

/** A value of a column or a parameter. */
export type SqlValue = string | number | null | Uint8Array;

/** An open database. Statements are prepared once and kept. Errors are `ClipError`s. */
export interface SqliteDatabase {
  /** Runs statements without parameters. */
  exec(sql: string): void;
  /** Runs a statement. */
  run(sql: string, parameters?: readonly SqlValue[]): void;
  /** Returns the first row of a query. */
  row(sql: string, parameters?: readonly SqlValue[]): SqlValue[] | undefined;
  /** Returns the rows of a query, one after another; the same query may not begin anew meanwhile. */
  rows(sql: string, parameters?: readonly SqlValue[]): Iterable<SqlValue[]>;
  close(): void;
}

/** How a database is reached: browsers lend it to one tab at a time. */
export interface SqliteAccess {
  /** Runs `use` while this worker has the database. */
  use<T>(use: (database: SqliteDatabase) => Promise<T> | T): Promise<T>;
  /** See `VectorStore.channel`. */
  readonly channel?: IndexChannel | undefined;
  /** Called after each committed write. */
  changed?(): void;
  close(): Promise<void>;
}
