/** Rows that go from one index to another. */

import type { Metadata } from "../../workers/protocol/index-data.js";

/** An item of an index. */
export interface EmbeddingRow {
  id: string;
  vector: Float32Array;
  metadata?: Metadata;
}

/** All items of an index. */
export interface EmbeddingRows {
  /** Number of the items. */
  count: number;
  /** Values of a vector. */
  dimension: number;
  /** Fingerprint of the model that made the vectors. */
  model?: string;
  /** The items in order. */
  rows(): AsyncIterable<EmbeddingRow>;
}
