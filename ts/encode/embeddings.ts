/** Embeddings, and the search among a few of them. */

import type { Matrix } from "../../workers/protocol/encode.js";
import { ClipError } from "../../workers/protocol/error.js";
import { check, checkOptions } from "../options/check.js";
import { invalidOption } from "../options/invalid-option.js";
import { integerFrom, positiveInteger, type Schema, typedArray } from "../options/rules.js";

/** Rows of length 1: the dot product of two rows is their cosine similarity. */
export interface Embeddings {
  /** `[rows, dimensions]`, row by row. */
  data: Float32Array;
  /** Rows, dimensions. */
  shape: [number, number];
  /** Marks rows of length 1. */
  normalized: true;
  /** Warnings about the texts: words that a vocabulary cut to its captions has never seen. */
  warnings?: string[];
}

/** A row of embeddings and its similarity to a query. */
export interface Match {
  /** Row, from 0. */
  index: number;
  /** Cosine similarity, from -1 to 1. */
  score: number;
}

/** Marks rows that a model returned as normalized. */
export const toEmbeddings = ({ data, shape }: Matrix): Embeddings => ({ data, shape, normalized: true });

/** Whether a value is meant as embeddings. `checkEmbeddings` checks the rest. */
export const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === "object" && value !== null && "normalized" in value;

const DATA = typedArray<Float32Array>("Float32Array");

/** Whether a value is a `Float32Array`, of any realm. */
export const isFloats = (value: unknown): value is Float32Array => DATA.accepts(value);

/** @throws ClipError `invalid-option`, `shape-mismatch` for malformed embeddings */
export function checkEmbeddings(name: string, embeddings: Embeddings): void {
  const { data, shape, normalized } = Object(embeddings) as Embeddings;
  check(`${name}.data`, data, DATA);
  const isShape = Array.isArray(shape) && shape.length === 2 && shape.every((n) => Number.isInteger(n) && n >= 0);
  check(`${name}.shape`, shape, { expected: "[rows, dimensions]", accepts: () => isShape });
  check(`${name}.normalized`, normalized, {
    expected: "true, for rows of length 1",
    accepts: (value) => value === true,
  });
  const [rows, dim] = shape;
  if (rows * dim === data.length) return;
  const got = `${data.length} values of shape [${shape.join(", ")}]`;
  throw new ClipError("shape-mismatch", `shape mismatch: ${name}: expected ${rows * dim} values, got ${got}`);
}

/** Which query is compared, and how many matches are returned. */
export interface TopKOptions {
  /** Number of matches. @default 5 */
  k?: number;
  /** Row of the query, from 0. @default 0 */
  row?: number;
}

const TOP_K = { k: positiveInteger, row: integerFrom(0) } satisfies Schema<TopKOptions>;

/**
 * Returns the `k` rows of `items` most similar to one row of `queries`, best first.
 *
 * @throws ClipError `invalid-option`, `shape-mismatch`
 */
export function topK(queries: Embeddings, items: Embeddings, options: TopKOptions = {}): Match[] {
  const { k = 5, row = 0 } = checkOptions("topK()", options, TOP_K);
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

/**
 * Returns the cosine similarity of each row of `a` with the same row of `b`: how well images match their own captions, for
 * example.
 *
 * @throws ClipError `invalid-option`, `shape-mismatch`
 */
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
