/** The contract of an index's worker: every call. Items are checked by the page, vectors by the module `index`. */

import type { WireAddresses } from "./addresses.js";
import type { Filter, IndexChannel, IndexHeader, IndexPlace } from "./index-data.js";

/** Items to be written; lists are parallel to `ids`. */
export interface WireItems {
  mode: "add" | "put" | "update";
  /** No id twice. */
  ids: string[];
  /** Row by row, of any length but zero; left out only in `update`, which then leaves them as they are. */
  vectors?: Float32Array;
  /** JSON of each; `null` for none; `undefined` leaves it as it is, where there is one. */
  metadata?: (string | null | undefined)[];
}

/** An item. */
export interface WireItem {
  id: string;
  /** JSON of an object. */
  metadata: string | undefined;
}

/** An item, and its cosine similarity to a query. */
export interface WireMatch extends WireItem {
  score: number;
}

/** What a search returns. */
interface WireSearch {
  /** Number of best items that are left out. */
  offset: number;
  k: number;
  minScore?: number;
  filter?: Filter;
}

/** An index that was opened. */
export interface OpenedIndex {
  header: IndexHeader;
  channel: IndexChannel | undefined;
}

/** Calls of an index's worker. */
export interface IndexWorkerApi {
  /** Sets where the package's files lie. */
  locate(addresses: WireAddresses): void;
  /** Opens an index; makes it, if there is none, where a header says how. */
  open(place: IndexPlace, header: IndexHeader | undefined): Promise<OpenedIndex>;
  /** Writes items: all or none, and on the disk when it resolves. */
  write(items: WireItems): Promise<void>;
  /** Removes items; returns how many there were. */
  remove(ids: string[]): Promise<number>;
  /** Returns items; `undefined` for an unknown id. */
  items(ids: string[]): Promise<(WireItem | undefined)[]>;
  /** Returns unit vectors, row by row. @throws ClipError `unknown-id` */
  vectors(ids: string[]): Promise<Float32Array>;
  /** Returns items in the order of their keys: those after a key, and the key to go on after. */
  list(after: number, limit: number): Promise<{ items: WireItem[]; last: number }>;
  /** Number of items. */
  size(): Promise<number>;
  /** Searches for several queries, row by row. */
  search(queries: Float32Array, search: WireSearch): Promise<WireMatch[][]>;
  /** Begins to look for groups of near-duplicates; returns a number for the calls below. */
  startDuplicates(threshold: number): Promise<number>;
  /** Begins k-means; returns a number for the calls below. */
  startClusters(k: number, iterations: number, seed: number): Promise<number>;
  /** Works for a moment on what was begun; returns which share is done, 1 at the end. */
  step(job: number): Promise<number>;
  /** Groups of near-duplicates. */
  groups(job: number): Promise<WireItem[][]>;
  /** Ids of each cluster, and the unit vectors of all, row by row. */
  clustering(job: number): Promise<{ ids: string[][]; centroids: Float32Array }>;
  /** Ends what was begun. */
  end(job: number): Promise<void>;
  /** Bytes of the module's memory. */
  memory(): Promise<number>;
  close(): Promise<void>;
  /** Deletes an index; returns whether there was one. */
  delete(place: IndexPlace): Promise<boolean>;
  /** Names of the indexes of this origin or user. */
  names(): Promise<string[]>;
}
