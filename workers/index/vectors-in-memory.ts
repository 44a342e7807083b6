/** The vectors of an index in the module's memory: the key of an item in the store is the slot of its vector. */

import type { IndexHeader } from "../protocol/index-data.js";
import type { IndexWasm, VectorCodec, Vectors } from "../runtime/index-wasm.js";
import { exactBytes, type Rows, type StoreState } from "../stores/store.js";
import type { Job } from "./jobs.js";

/** Number of candidates of an int8 search whose exact vectors are scored again: four times as many as wanted, within bounds. */
const rescored = (k: number): number => Math.max(40, Math.min(4 * k, k + 400));

/** Keys and scores, the best first. */
export interface Ranked {
  keys: Uint32Array;
  scores: Float32Array;
}

/** All vectors of an index, as of one version of its store. */
export class VectorsInMemory {
  readonly #wasm: IndexWasm;
  readonly #vectors: Vectors;
  readonly #codec: VectorCodec;
  /** Of the exact vectors that the store keeps beside int8. */
  readonly #exact: VectorCodec | undefined;
  readonly #dimension: number;
  /** Version of the store that is in memory. */
  version = 0;

  constructor(wasm: IndexWasm, header: IndexHeader) {
    const { dimension, storage } = header;
    const { Vectors, VectorCodec } = wasm;
    this.#wasm = wasm;
    this.#dimension = dimension;
    this.#vectors = new Vectors(dimension, storage);
    this.#codec = new VectorCodec(dimension, storage);
    this.#exact = exactBytes(header) > 0 ? new VectorCodec(dimension, "f16") : undefined;
  }

  /** Takes in what changed in the store. */
  async catchUp(state: StoreState): Promise<void> {
    if (state.version === this.version) return;
    if (this.version > 0) this.remove(await state.removed(this.version));
    for await (const rows of state.rows(this.version)) this.put(rows);
    this.version = state.version;
  }

  /** Normalizes vectors, and converts them to the forms in which they are kept. */
  encode(vectors: Float32Array): { vectors: Uint8Array; exact?: Uint8Array } {
    const encoded = { vectors: this.#codec.encode(vectors) };
    return this.#exact ? { ...encoded, exact: this.#exact.encode(vectors) } : encoded;
  }

  /** Adds vectors, or replaces those of the same keys. */
  put({ keys, vectors }: Rows): void {
    this.#vectors.put(keys, vectors);
  }

  /** Removes the vectors of keys; those without one are ignored. */
  remove(keys: Uint32Array): void {
    this.#vectors.remove(keys);
  }

  /** Unit vectors of exact rows of the store. */
  decode(exact: Uint8Array): Float32Array {
    return (this.#exact ?? this.#codec).decode(exact);
  }

  /**
   * Returns the best vectors for each query. Where rows are int8, candidates are scored again by their exact vectors.
   *
   * @param allowed keys among which to search
   */
  async search(
    state: StoreState,
    queries: Float32Array,
    k: number,
    allowed: Uint32Array | undefined,
  ): Promise<Ranked[]> {
    const hits = this.#vectors.search(queries, this.#exact ? rescored(k) : k, allowed && toBits(allowed));
    const count = queries.length / this.#dimension;
    const each = hits.slots.length / count;
    const ranked: Ranked[] = [];
    for (let query = 0; query < count; query++) {
      const [begin, end] = [query * each, (query + 1) * each];
      const found = { keys: hits.slots.subarray(begin, end), scores: hits.scores.subarray(begin, end) };
      const vector = queries.subarray(query * this.#dimension, (query + 1) * this.#dimension);
      ranked.push(this.#exact ? await rescore(found, this.#exact, vector, k, state) : found);
    }
    return ranked;
  }

  /** Groups of near-duplicates, which pairs join whose cosine similarity reaches a threshold. */
  duplicates(threshold: number): Job<Uint32Array[]> {
    const search = new this.#wasm.Duplicates(this.#vectors, threshold);
    return {
      step: () => search.step(this.#vectors),
      result: () => {
        const { slots, ends } = search.groups(this.#vectors);
        return [...ends.keys()].map((i) => slots.subarray(ends[i - 1] ?? 0, ends[i]));
      },
      free: () => search.free(),
    };
  }

  /** Clusters by spherical k-means: the keys of each, and the unit vectors of all. */
  clusters(k: number, iterations: number, seed: number): Job<{ keys: Uint32Array[]; centroids: Float32Array }> {
    const run = new this.#wasm.Clusters(this.#vectors, k, iterations, seed);
    return {
      step: () => run.step(this.#vectors),
      result: () => {
        const { slots, labels, centroids } = run.clustering(this.#vectors);
        const count = centroids.length / this.#dimension;
        const keys = Array.from({ length: count }, (_, label) => slots.filter((_, i) => labels[i] === label));
        return { keys, centroids };
      },
      free: () => run.free(),
    };
  }

  /** Frees the vectors. */
  free(): void {
    for (const object of [this.#vectors, this.#codec, this.#exact]) object?.free();
  }
}

/** Scores candidates by their exact vectors, and returns the best. */
async function rescore(
  { keys }: Ranked,
  exact: VectorCodec,
  query: Float32Array,
  k: number,
  state: StoreState,
): Promise<Ranked> {
  const scores = exact.scores(query, await state.exact(keys));
  const best = [...keys.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number)).slice(0, k);
  return {
    keys: Uint32Array.from(best, (i) => keys[i] as number),
    scores: Float32Array.from(best, (i) => scores[i] as number),
  };
}

/** Keys as the module takes them, a bit each. */
function toBits(keys: Uint32Array): Uint8Array {
  const bits = new Uint8Array(((keys.at(-1) ?? 0) >> 3) + 1);
  for (const key of keys) bits[key >> 3] = (bits[key >> 3] as number) | (1 << (key & 7));
  return bits;
}
