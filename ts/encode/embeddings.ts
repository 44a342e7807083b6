/** Embeddings and the search among a few of them. */

import { ClipError } from "../../workers/protocol/error.js";
import { invalidOption } from "../options/invalid-option.js";
import { check, checked, type Schema, size, typed, whole } from "../options/options.js";

/** Rows of length one: their dot product is the cosine similarity. */
export interface Embeddings {
  /** Row by row. */
  data: Float32Array;
  /** Rows, dimensions. */
  shape: [number, number];
  normalized: true;
  /** What is odd about the texts, in words: those that a vocabulary cut to its captions has never seen, by name. */
  warnings?: string[];
}

/** Whether something is given by what a model made of it. */
export const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === "object" && value !== null && "normalized" in value;

const DATA = typed<Float32Array>("Float32Array");

/** Whether a value is numbers as a model gives them, of whichever realm. */
export const isFloats = (value: unknown): value is Float32Array => DATA.accepts(value);

/** @throws ClipError `invalid-option`, `shape-mismatch` for what no model can have made */
export function checkEmbeddings(name: string, embeddings: Embeddings): void {
  const { data, shape, normalized } = Object(embeddings) as Embeddings;
  check(`${name}.data`, data, DATA);
  const whole = Array.isArray(shape) && shape.length === 2 && shape.every((n) => Number.isInteger(n) && n >= 0);
  check(`${name}.shape`, shape, { expected: "[rows, dimensions]", accepts: () => whole });
  check(`${name}.normalized`, normalized, { expected: "rows of length one, true", accepts: (value) => value === true });
  const [rows, dim] = shape;
  if (rows * dim === data.length) return;
  const got = `${data.length} values of shape [${shape.join(", ")}]`;
  throw new ClipError("shape-mismatch", `shape mismatch: ${name}: expected ${rows * dim} values, got ${got}`);
}

/** What is looked for among embeddings. */
export interface TopKOptions {
  /** Rows that are given. @default 5 */
  k?: number;
  /** Whose nearest. @default 0 */
  row?: number;
}

const TOP_K = { k: size, row: whole(0) } satisfies Schema<TopKOptions>;

/** The `k` rows of `items` most similar to row `row` of `queries`, best first. */
export function topK(
  queries: Embeddings,
  items: Embeddings,
  options: TopKOptions = {},
): { index: number; score: number }[] {
  const { k = 5, row = 0 } = checked("topK()", options, TOP_K);
  checkEmbeddings("queries", queries);
  checkEmbeddings("items", items);
  const [rows, dim] = queries.shape;
  if (dim !== items.shape[1]) {
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: items: expected [n, ${dim}], got [${items.shape.join(", ")}]`,
    );
  }
  if (row >= rows) throw invalidOption("row", `0 to ${rows - 1}`, row);
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
  checkEmbeddings("a", a);
  checkEmbeddings("b", b);
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
