/** Embeddings and the search among a few of them. */

import { ClipError } from "../workers/error.js";
import { invalidOption } from "./invalid-option.js";

/** Rows of length one: their dot product is the cosine similarity. */
export interface Embeddings {
  /** Row by row. */
  data: Float32Array;
  /** Rows, dimensions. */
  shape: [number, number];
  normalized: true;
}

/** Whether something is given by what a model made of it. */
export const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === "object" && value !== null && "normalized" in value;

/** The `k` rows of `items` most similar to row `row` of `queries`, best first. */
export function topK(
  queries: Embeddings,
  items: Embeddings,
  { k = 5, row = 0 }: { k?: number; row?: number } = {},
): { index: number; score: number }[] {
  const [rows, dim] = queries.shape;
  if (dim !== items.shape[1]) {
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: items: expected [n, ${dim}], got [${items.shape.join(", ")}]`,
    );
  }
  if (!(Number.isInteger(row) && row >= 0 && row < rows)) {
    throw invalidOption("row", `0 to ${rows - 1}`, row);
  }
  if (!(Number.isInteger(k) && k > 0)) {
    throw invalidOption("k", "a whole number above 0", k);
  }
  const query = queries.data.subarray(row * dim, (row + 1) * dim);
  const scored = Array.from({ length: items.shape[0] }, (_, index) => {
    let score = 0;
    for (let i = 0; i < dim; i++) score += (query[i] ?? 0) * (items.data[index * dim + i] ?? 0);
    return { index, score };
  });
  return scored.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, k);
}

/** Cosine of each row of `a` with the same row of `b`: how well images and their own captions fit, for instance. */
export function rowSimilarities(a: Embeddings, b: Embeddings): Float32Array {
  const [rows, dim] = a.shape;
  if (rows !== b.shape[0] || dim !== b.shape[1]) {
    throw new ClipError("shape-mismatch", `shape mismatch: expected [${rows}, ${dim}], got [${b.shape.join(", ")}]`);
  }
  return Float32Array.from({ length: rows }, (_, row) => {
    let score = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) score += (a.data[i] ?? 0) * (b.data[i] ?? 0);
    return score;
  });
}
