/** Near-duplicates and clusters: work on all vectors, with progress, which may be stopped. */

import { ClipError } from "../../workers/protocol/error.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { checkOptions } from "../options/check.js";
import { callback, number, positiveInteger, type Schema, seed, signal, strings } from "../options/rules.js";
import type { IndexClient } from "../worker/start-index.js";
import type { EmbeddingModel } from "./model.js";

/** How long work is followed and stopped. */
export interface WorkOptions {
  /** Called with the share that is done, from 0 to 1. @default none */
  onProgress?: (share: number) => void;
  /** Stops the work. @default none */
  signal?: PlatformClass<"AbortSignal">;
}

const WORK = { onProgress: callback<(share: number) => void>(), signal } satisfies Schema<WorkOptions>;

/** Which items count as near-duplicates. */
export interface DuplicatesOptions extends WorkOptions {
  /** Least cosine similarity of two items. @default 0.95 */
  threshold?: number;
}

export const DUPLICATES = {
  ...WORK,
  threshold: number("a number above 0, at most 1", (value) => value > 0 && value <= 1),
} satisfies Schema<DuplicatesOptions>;

/** Which clusters are made. */
export interface ClustersOptions extends WorkOptions {
  /** Number of clusters. */
  k: number;
  /** Words that clusters are named by: the index's model embeds them. @default no names */
  words?: readonly string[];
  /** Most iterations of k-means. @default 20 */
  iterations?: number;
  /** The same items and seed give the same clusters. @default 0 */
  seed?: number;
}

const CLUSTERS = {
  ...WORK,
  k: { ...positiveInteger, required: true },
  words: strings,
  iterations: positiveInteger,
  seed,
} satisfies Schema<ClustersOptions>;

/** Items that are like each other. */
export interface Cluster {
  /** The word that fits best, of those that fit no other cluster better; `undefined` without words, or with fewer than clusters. */
  name: string | undefined;
  /** Ids of its items, at least one. */
  ids: string[];
  /** Its centre, of length 1. */
  centroid: Float32Array;
}

/** Runs a job of the worker to its end. */
export async function runJob<Result>(
  client: IndexClient,
  start: () => Promise<number>,
  finish: (job: number) => Promise<Result>,
  { onProgress, signal }: WorkOptions,
): Promise<Result> {
  const throwIfAborted = () => {
    if (signal?.aborted) throw new ClipError("aborted", "the work was aborted", { cause: signal.reason });
  };
  throwIfAborted();
  const job = await start();
  try {
    for (let share = 0; share < 1; ) {
      share = await client.call((api) => api.step(job));
      onProgress?.(share);
      throwIfAborted();
    }
    return await finish(job);
  } finally {
    await client.call((api) => api.end(job)).catch(() => undefined);
  }
}

/**
 * Names clusters by words. What counts is how much nearer a word is to a cluster than to the others: some words are near to all pictures.
 *
 * @param similarities of each cluster to each word, row by row
 */
function namesOf(similarities: number[][], words: readonly string[]): (string | undefined)[] {
  const mean = words.map((_, w) => similarities.reduce((sum, row) => sum + (row[w] ?? 0), 0) / similarities.length);
  const pairs = similarities.flatMap((row, cluster) =>
    words.map((word, w) => ({ cluster, word, lead: (row[w] ?? 0) - (mean[w] ?? 0) })),
  );
  const names = similarities.map((): string | undefined => undefined);
  for (const { cluster, word } of pairs.sort((a, b) => b.lead - a.lead))
    if (names[cluster] === undefined && !names.includes(word)) names[cluster] = word;
  return names;
}

/** @throws ClipError `invalid-option`, `aborted`, and what the model throws */
export async function findClusters(
  client: IndexClient,
  options: ClustersOptions,
  model: EmbeddingModel | undefined,
  dimension: number,
): Promise<Cluster[]> {
  const { k, words = [], iterations = 20, seed = 0, ...work } = checkOptions("clusters()", options, CLUSTERS);
  if (words.length > 0 && !model?.encodeText)
    throw new ClipError(
      "invalid-option",
      "the index was opened without a model for words: pass { model } to VectorIndex.open(), or leave words out",
    );
  const { ids, centroids } = await runJob(
    client,
    () => client.call((api) => api.startClusters(k, iterations, seed)),
    (job) => client.call((api) => api.clustering(job)),
    work,
  );
  const rows = ids.map((_, i) => centroids.slice(i * dimension, (i + 1) * dimension));
  let names = ids.map((): string | undefined => undefined);
  if (words.length > 0 && model?.encodeText && rows.length > 0) {
    const { data } = await model.encodeText([...words], { truncate: true });
    const similarity = (row: Float32Array, word: number) =>
      row.reduce((sum, x, i) => sum + x * (data[word * dimension + i] ?? 0), 0);
    names = namesOf(
      rows.map((row) => words.map((_, word) => similarity(row, word))),
      words,
    );
  }
  return ids.flatMap((some, i) =>
    some.length > 0 ? [{ name: names[i], ids: some, centroid: rows[i] as Float32Array }] : [],
  );
}
