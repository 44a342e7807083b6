/**
 * Vectors in a table of blocks: some rows one after another in one blob, which fills a page. A block is read and written as a whole, and
 * so the sixtieth part of the statements that single rows would take. The row of a removed item stays until another one takes its key.
 */

import { ClipError } from "../protocol/error.js";
import type { SqliteDatabase } from "./sqlite-database.js";

/** Bytes of a block: what a page of 32,768 bytes has room for, without a page of its own for the rest. */
export const BLOCK = 32_000;

/** The rows of one width in one table. */
export class Blocks {
  readonly #database: SqliteDatabase;
  readonly #table: string;
  readonly #width: number;
  readonly #rows: number;

  constructor(database: SqliteDatabase, table: "vectors" | "exact", width: number) {
    this.#database = database;
    this.#table = table;
    this.#width = width;
    this.#rows = Math.max(1, Math.floor(BLOCK / width));
  }

  /** Returns the rows of keys, one after another. */
  read(keys: ArrayLike<number>): Uint8Array {
    const found = new Uint8Array(keys.length * this.#width);
    let [number, block]: [number, Uint8Array] = [-1, new Uint8Array()];
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as number;
      if (this.#blockOf(key) !== number) [number, block] = [this.#blockOf(key), this.#load(this.#blockOf(key))];
      const row = block.subarray((key % this.#rows) * this.#width, ((key % this.#rows) + 1) * this.#width);
      if (row.length !== this.#width) throw this.#damaged(number);
      found.set(row, i * this.#width);
    }
    return found;
  }

  /** All blocks in the order of their keys: the key of the first row, and the rows. */
  *all(): Generator<[key: number, rows: Uint8Array], void, undefined> {
    for (const [block, rows] of this.#database.rows(`SELECT block, rows FROM ${this.#table} ORDER BY block`))
      yield [(block as number) * this.#rows, this.#checked(block as number, rows)];
  }

  /** Writes the rows of keys, over those that are there. */
  write(keys: readonly number[], rows: Uint8Array): void {
    const order = [...keys.keys()].sort((a, b) => (keys[a] as number) - (keys[b] as number));
    for (let begin = 0; begin < order.length; ) {
      const number = this.#blockOf(keys[order[begin] as number] as number);
      let end = begin;
      while (end < order.length && this.#blockOf(keys[order[end] as number] as number) === number) end++;
      const last = ((keys[order[end - 1] as number] as number) % this.#rows) + 1;
      const old = this.#load(number);
      const block = new Uint8Array(Math.max(old.length, last * this.#width));
      block.set(old);
      for (const i of order.slice(begin, end))
        block.set(
          rows.subarray(i * this.#width, (i + 1) * this.#width),
          ((keys[i] as number) % this.#rows) * this.#width,
        );
      this.#database.run(`INSERT OR REPLACE INTO ${this.#table} (block, rows) VALUES (?, ?)`, [number, block]);
      begin = end;
    }
  }

  #blockOf(key: number): number {
    return Math.floor(key / this.#rows);
  }

  /** The rows of a block; empty if there is none yet. */
  #load(number: number): Uint8Array {
    const row = this.#database.row(`SELECT rows FROM ${this.#table} WHERE block = ?`, [number]);
    return row ? this.#checked(number, row[0]) : new Uint8Array();
  }

  #checked(number: number, rows: unknown): Uint8Array {
    if (rows instanceof Uint8Array && rows.length % this.#width === 0 && rows.length <= this.#rows * this.#width)
      return rows;
    throw this.#damaged(number);
  }

  #damaged(number: number): ClipError {
    return new ClipError("index-damaged", `the index is damaged: block ${number} of ${this.#table} lacks vectors`);
  }
}
