/** SQLite's own Wasm build, as a `SqliteDatabase`. */

import type { Database, PreparedStatement, Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { SqliteDatabase, SqlValue } from "./sqlite-database.js";
import { fromSqlite } from "./sqlite-error.js";
import { PAGE_SIZE } from "./sqlite-schema.js";
import { Statements } from "./statements.js";

/** A database of SQLite's Wasm build. */
export class WasmDatabase implements SqliteDatabase {
  readonly #database: Database;
  readonly #statements = new Statements<PreparedStatement>(
    (sql) => this.#database.prepare(sql),
    (statement) => statement.finalize(),
  );

  /** @param open opens it in a VFS, or in memory */
  constructor(open: () => Database) {
    this.#database = checked(open);
    this.exec(PAGE_SIZE);
  }

  #statement(sql: string, parameters: readonly SqlValue[]): PreparedStatement {
    const statement = this.#statements.get(sql);
    for (const [i, value] of parameters.entries()) statement.bind(i + 1, value);
    return statement;
  }

  exec(sql: string): void {
    checked(() => this.#database.exec(sql));
  }

  run(sql: string, parameters: readonly SqlValue[] = []): void {
    checked(() => this.#statement(sql, parameters).stepReset());
  }

  row(sql: string, parameters: readonly SqlValue[] = []): SqlValue[] | undefined {
    for (const row of this.rows(sql, parameters)) return row;
    return undefined;
  }

  *rows(sql: string, parameters: readonly SqlValue[] = []): Generator<SqlValue[], void, undefined> {
    const statement = checked(() => this.#statement(sql, parameters));
    try {
      while (checked(() => statement.step())) yield statement.get([]) as SqlValue[];
    } finally {
      statement.reset();
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}

function checked<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw fromSqlite((error as { resultCode?: number }).resultCode, error);
  }
}

/** A database in memory alone. */
export const inMemory = (sqlite: Sqlite3Static): WasmDatabase => new WasmDatabase(() => new sqlite.oo1.DB(":memory:"));
