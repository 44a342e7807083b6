/**
 * Where an index is kept: a database that others maintain, SQLite or LanceDB. It holds items (id, metadata, vector) and knows nothing
 * of searching: the index worker reads all vectors once, and afterwards what changed.
 *
 * A store numbers its items: the key of an item is a small integer, which a removed item leaves to a later one. Vectors cross as bytes in
 * the form in which the module `index` scans them, so that opening an index converts nothing.
 */

import { ClipError } from "../protocol/error.js";
import type { Filter, IndexChannel, IndexHeader, IndexPlace } from "../protocol/index-data.js";

/** The error of opening an index that is not there, without a header to make it by; `name` names its place. */
export const indexMissing = (name: string): ClipError =>
  new ClipError("index-missing", `there is no index ${name}: pass its dimension, or a model, to make it`);

/** Bytes of a vector as the module `index` holds it. */
export const rowBytes = ({ dimension, storage }: IndexHeader): number =>
  ({ f32: 4 * dimension, f16: 2 * dimension, int8: dimension })[storage];

/** Bytes of an exact vector, kept beside `int8` as f16; 0 where the rows themselves are all there is. */
export const exactBytes = ({ dimension, storage }: IndexHeader): number => (storage === "int8" ? 2 * dimension : 0);

/** Some vectors, one after another. */
export interface Rows {
  keys: Uint32Array;
  /** `rowBytes` each. Only valid until the next rows are asked for. */
  vectors: Uint8Array;
}

/** An item without its vector. */
interface StoredItem {
  id: string;
  /** JSON of an object. */
  metadata: string | undefined;
}

/** One committed state of a store; later writes do not show in it. */
export interface StoreState {
  /** Grows with each committed write, and is the same in each process and tab that has the store open. */
  readonly version: number;
  /** Number of items. */
  readonly size: number;
  /** The vectors written after a version (all of them: 0), in pieces of a few megabytes. */
  rows(since: number): AsyncIterable<Rows>;
  /** Keys that were removed after a version and are still unused. */
  removed(since: number): Promise<Uint32Array>;
  /** Keys of ids; `undefined` for an unknown one. */
  keys(ids: readonly string[]): Promise<(number | undefined)[]>;
  /** Items by key; `undefined` for an unused one. */
  items(keys: Uint32Array): Promise<(StoredItem | undefined)[]>;
  /** Ids of all items in the order of their keys, `limit` of them, those with keys above `after`. */
  ids(after: number, limit: number): Promise<{ key: number; id: string }[]>;
  /** Exact vectors by key, one after another: `exactBytes` each, or `rowBytes` where there are no exact ones. */
  exact(keys: Uint32Array): Promise<Uint8Array>;
  /** Keys of the items whose metadata match, ascending. */
  matching(filter: Filter): Promise<Uint32Array>;
}

/** Items to be written; lists are parallel to `ids`, which has no id twice. */
export interface StoreWrite {
  /** `add` refuses ids that are there, `put` replaces them, `update` refuses unknown ones. */
  mode: "add" | "put" | "update";
  ids: readonly string[];
  /** `rowBytes` each; left out only in `update`, which then leaves the vectors as they are. */
  vectors?: Uint8Array;
  /** `exactBytes` each, where there are any. */
  exact?: Uint8Array;
  /** JSON of each; `null` for none; `undefined` leaves it as it is, where there is one. */
  metadata?: readonly (string | null | undefined)[];
}

/** What a write did. */
export interface Written {
  /** The version before, and the one that the write made; equal if there was nothing to do. */
  before: number;
  version: number;
  size: number;
  /** Keys of the items, in the order in which they were given. */
  keys: Uint32Array;
}

/** An open store. Calls come one after another. */
export interface VectorStore {
  readonly header: IndexHeader;
  /** Runs `use` on the newest committed state. */
  read<T>(use: (state: StoreState) => Promise<T>): Promise<T>;
  /**
   * Writes items: all or none, and on the disk when it resolves.
   *
   * @throws ClipError `duplicate-id` (`add`), `unknown-id` (`update`), `target-unwritable`, `index-busy`
   */
  write(write: StoreWrite): Promise<Written>;
  /** Removes items, all or none; the keys are those of the ids that were there. */
  remove(ids: readonly string[]): Promise<Written>;
  /** Where the users of a store say that they wrote; only browsers have it. */
  readonly channel?: IndexChannel | undefined;
  close(): Promise<void>;
}

/** A kind of stores. */
export interface Stores {
  /**
   * Opens a store.
   *
   * @param header of a new one; `undefined` opens only what is there
   * @returns the store, whose header may be another if it was there
   * @throws ClipError `index-missing`, `index-damaged`, `index-newer`, `index-busy`, `target-unwritable`, `source-unreadable`,
   * `platform-unsupported`
   */
  open(place: IndexPlace, header: IndexHeader | undefined): Promise<VectorStore>;
  /** Deletes a store; returns whether there was one. */
  delete(place: IndexPlace): Promise<boolean>;
  /** Names of the user's own. */
  list(): Promise<string[]>;
}
