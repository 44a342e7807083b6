/** An index that is kept: vectors with ids and metadata, and exact search among them. */

import { transfer } from "comlink";
import type { ExportedFile } from "../../workers/protocol/api.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { OpenedIndex, WireItem, WireItems, WireMatch } from "../../workers/protocol/index-api.js";
import type {
  Filter,
  IndexChange,
  IndexHeader,
  IndexPlace,
  Metadata,
  VectorStorage,
} from "../../workers/protocol/index-data.js";
import { checkEmbeddings, type Embeddings, isEmbeddings } from "../encode/embeddings.js";
import type { ExportOptions } from "../exchange/export.js";
import type { Folder } from "../exchange/import.js";
import { asArray } from "../options/as-array.js";
import { check, checkOptions } from "../options/check.js";
import {
  callback,
  integerFrom,
  number,
  object,
  oneOf,
  positiveInteger,
  type Schema,
  unchecked,
} from "../options/rules.js";
import { type IndexClient, startIndex } from "../worker/start-index.js";
import { exportIndex, type ImportOptions, importIntoIndex } from "./exchange.js";
import {
  type Cluster,
  type ClustersOptions,
  DUPLICATES,
  type DuplicatesOptions,
  findClusters,
  runJob,
} from "./groups.js";
import { checkIds, type Items, type ItemUpdate, toWireItems, vectorOf } from "./items.js";
import { checkModel, type EmbeddingModel, fingerprintOf, probesOf } from "./model.js";
import { type IndexAddress, toPlace } from "./place.js";
import { type Query, queryVector } from "./query.js";

/** How an index is opened. A new one needs a model or a dimension. */
export interface IndexOptions {
  /**
   * The model whose vectors the index has: it embeds texts and images, and another one is refused. A name instead of a model is compared
   * with the one that the index was made with. @default any vectors of the right dimension
   */
  model?: EmbeddingModel | string;
  /** Numbers a vector. @default those of the model */
  dimension?: number;
  /** How a new index keeps vectors. @default "int8", with the best matches scored again by f16 vectors */
  storage?: VectorStorage;
}

const OPEN = {
  model: unchecked<EmbeddingModel | string>(),
  dimension: positiveInteger,
  storage: oneOf("f32", "f16", "int8"),
} satisfies Schema<IndexOptions>;

/** Which matches are returned. */
export interface SearchOptions {
  /** Number of matches. @default 10 */
  k?: number;
  /** Number of best matches to leave out, for further pages. @default 0 */
  offset?: number;
  /** Searches among the items whose metadata match. @default all */
  filter?: Filter;
  /** Least cosine similarity. @default -1 */
  minScore?: number;
}

const SEARCH = {
  k: positiveInteger,
  offset: integerFrom(0),
  filter: object<Filter>('an object, such as { album: "holidays" }'),
  minScore: number("a number from -1 to 1", (value) => value >= -1 && value <= 1),
} satisfies Schema<SearchOptions>;

/** An item without its vector. */
export interface StoredItem {
  /** As it was added. */
  id: string;
  /** `undefined` if it has none. */
  metadata: Metadata | undefined;
}

/** An item, and how similar it is to a query. */
export interface IndexMatch extends StoredItem {
  /** Cosine similarity, from -1 to 1. */
  score: number;
}

/** Items that `items()` reads at a time. */
const PAGE = 500;

const toItem = ({ id, metadata }: WireItem): StoredItem => ({
  id,
  metadata: metadata === undefined ? undefined : JSON.parse(metadata),
});

/** The vectors of images and texts, with ids and metadata, kept for the next time. */
export class VectorIndex {
  /** Numbers a vector. */
  readonly dimension: number;
  /** How vectors are kept. */
  readonly storage: VectorStorage;
  readonly #client: IndexClient;
  readonly #channel: OpenedIndex["channel"];
  readonly #model: EmbeddingModel | undefined;
  readonly #fingerprint: string | undefined;

  private constructor(client: IndexClient, { header, channel }: OpenedIndex, model: EmbeddingModel | undefined) {
    this.#client = client;
    this.#channel = channel;
    this.#model = model;
    this.#fingerprint = header.model;
    this.dimension = header.dimension;
    this.storage = header.storage;
  }

  /**
   * Opens an index, in a worker of its own; makes it if there is none. In a browser it belongs to the origin; several tabs may have it open.
   *
   * @throws ClipError `invalid-option`, `index-missing` for a new one without a model and a dimension, `wrong-model`, `shape-mismatch`,
   * `index-damaged`, `index-newer`, `index-busy`, `target-unwritable`, `platform-unsupported` where nothing can be kept
   *
   * @example
   * const index = await VectorIndex.open("photos", { model: clip });
   * await index.add(files.map((file) => ({ id: file.name, image: file })));
   * const matches = await index.search("a red boat", { k: 20 });
   */
  static open(index: IndexAddress, options: IndexOptions = {}): Promise<VectorIndex> {
    return VectorIndex.#open(async () => toPlace(index), options, "VectorIndex.open()");
  }

  /**
   * Makes an index that is in memory alone, and gone when it is closed. In Node its metadata are in SQLite all the same: it needs the
   * package `libsql`.
   *
   * @throws ClipError `invalid-option`
   */
  static inMemory(options: IndexOptions): Promise<VectorIndex> {
    return VectorIndex.#open(async () => ({ memory: true }), options, "VectorIndex.inMemory()");
  }

  static async #open(placeOf: () => Promise<IndexPlace>, options: IndexOptions, call: string): Promise<VectorIndex> {
    const { model, storage, ...given } = checkOptions(call, options, OPEN);
    const place = await placeOf();
    const probes = typeof model === "object" ? await probesOf(model) : undefined;
    const dimension = (probes?.text ?? probes?.image)?.length ?? given.dimension;
    if (given.dimension !== undefined && given.dimension !== dimension)
      throw new ClipError(
        "shape-mismatch",
        `shape mismatch: dimension: expected ${dimension}, as the model has it, got ${given.dimension}`,
      );
    const fingerprint = probes ? fingerprintOf(probes) : (model as string | undefined);
    const header =
      dimension === undefined
        ? undefined
        : ({ dimension, storage: storage ?? "int8", model: fingerprint } satisfies IndexHeader);
    const client = await startIndex();
    try {
      const opened = await client.call((api) => api.open(place, header));
      const { header: found } = opened;
      if (model !== undefined && found.model !== undefined) checkModel(probes ?? (model as string), found.model);
      if (dimension !== undefined && dimension !== found.dimension)
        throw new ClipError(
          "shape-mismatch",
          `shape mismatch: the index has vectors of ${found.dimension} numbers, not ${dimension}`,
        );
      if (storage !== undefined && storage !== found.storage)
        throw new ClipError(
          "invalid-option",
          `invalid option storage: the index keeps ${found.storage}: leave the option out, or make a new index`,
        );
      return new VectorIndex(client, opened, typeof model === "object" ? model : undefined);
    } catch (error) {
      await client.call((api) => api.close()).catch(() => undefined);
      client.dispose();
      throw error;
    }
  }

  /** Names of the indexes of this origin, or in Node of this user. */
  static list(): Promise<string[]> {
    return withWorker((client) => client.call((api) => api.names()));
  }

  /**
   * Deletes an index; returns whether there was one. Close it first.
   *
   * @throws ClipError `invalid-option`, `index-damaged` for a file that is no index, `platform-unsupported`
   */
  static async delete(index: IndexAddress): Promise<boolean> {
    const place = toPlace(index);
    return withWorker((client) => client.call((api) => api.delete(place)));
  }

  async #write(items: Items | ItemUpdate | readonly ItemUpdate[], mode: WireItems["mode"]): Promise<void> {
    const wire = await toWireItems(items, mode, this.#model, this.dimension);
    if (wire.ids.length === 0) return;
    const moved = wire.vectors ? [wire.vectors.buffer] : [];
    await this.#client.call((api) => api.write(transfer(wire, moved)));
  }

  /**
   * Adds items: all of them, or none and throws. They are on the disk when it resolves.
   *
   * @throws ClipError `duplicate-id` for an id that is there already, `shape-mismatch`, `invalid-vector`, `invalid-option`,
   * `count-mismatch`, `target-unwritable` on a full disk, `index-busy`, `out-of-memory`, and what the model throws
   */
  add(items: Items): Promise<void> {
    return this.#write(items, "add");
  }

  /**
   * Adds items, and replaces those whose ids are there already; otherwise as `add`.
   *
   * @throws ClipError those of `add`, but `duplicate-id` only for an id that is twice in `items`
   */
  put(items: Items): Promise<void> {
    return this.#write(items, "put");
  }

  /**
   * Changes items: their vector, their metadata, or both; what is left out stays.
   *
   * @throws ClipError those of `put`, and `unknown-id`
   */
  update(items: ItemUpdate | readonly ItemUpdate[]): Promise<void> {
    return this.#write(items, "update");
  }

  /**
   * Deletes items; returns how many there were. Unknown ids are ignored.
   *
   * @throws ClipError `invalid-option`, `target-unwritable`, `index-busy`
   */
  async delete(ids: string | readonly string[]): Promise<number> {
    const list = [...new Set(asArray(ids))];
    checkIds(list);
    return list.length === 0 ? 0 : this.#client.call((api) => api.remove(list));
  }

  /**
   * Returns an item; `undefined` if there is none of this id.
   *
   * @throws ClipError `invalid-option`
   */
  async get(id: string): Promise<StoredItem | undefined> {
    checkIds([id]);
    const [item] = await this.#client.call((api) => api.items([id]));
    return item && toItem(item);
  }

  /**
   * Returns which of some ids are in the index, to add what is missing.
   *
   * @throws ClipError `invalid-option`
   */
  async has(ids: readonly string[]): Promise<boolean[]> {
    const list = [...new Set(ids)];
    checkIds(list);
    const items = await this.#client.call((api) => api.items(list));
    const there = new Set(items.map((item) => item?.id));
    return ids.map((id) => there.has(id));
  }

  /**
   * Returns the vectors of items, of length 1: exact ones if the index keeps `f32`, otherwise rounded to `f16`.
   *
   * @throws ClipError `unknown-id`, `invalid-option`
   */
  async vectors(ids: readonly string[]): Promise<Embeddings> {
    checkIds(ids);
    const list = [...ids];
    const data = list.length === 0 ? new Float32Array() : await this.#client.call((api) => api.vectors(list));
    return { data, shape: [list.length, this.dimension], normalized: true };
  }

  /** Number of items. */
  size(): Promise<number> {
    return this.#client.call((api) => api.size());
  }

  /** Reads all items in the order in which they were added; a deleted item leaves its place to a later one. */
  async *items(): AsyncGenerator<StoredItem, void, undefined> {
    for (let after = -1; ; ) {
      const from = after;
      const { items, last } = await this.#client.call((api) => api.list(from, PAGE));
      if (items.length === 0) return;
      yield* items.map(toItem);
      after = last;
    }
  }

  /**
   * Writes all items as files in clip-retrieval's layout, which NumPy, pandas and DuckDB read: `img_emb/img_emb_0.npy`,
   * `metadata/metadata_0.parquet` and so on, one after another. Their names are paths with `/`.
   *
   * @throws ClipError `invalid-option`, `count-mismatch` if the index changes meanwhile
   *
   * @example
   * for await (const { name, data } of index.exportFiles()) {
   *   await mkdir(dirname(join("out", name)), { recursive: true });
   *   await writeFile(join("out", name), data);
   * }
   */
  exportFiles(options: ExportOptions = {}): AsyncGenerator<ExportedFile, void, undefined> {
    return exportIndex(this, this.#fingerprint, options);
  }

  /**
   * Adds what is in a folder of clip-retrieval's layout, which an export or clip-retrieval wrote; returns the number of items. Its files
   * are checked first. Items are written some thousands at a time, and those before an error stay.
   *
   * @param folder - path in Node, directory handle, or picked files
   * @throws ClipError `invalid-dataset` for files that are damaged or do not belong together, `wrong-model`, `shape-mismatch`,
   * `duplicate-id`, `invalid-option`, `invalid-source`, `source-unreadable`, and those of `put`
   */
  importFiles(folder: Folder, options: ImportOptions = {}): Promise<number> {
    return importIntoIndex(this, this.#fingerprint, folder, options);
  }

  /**
   * Returns the items most similar to a query, best first.
   *
   * @throws ClipError `invalid-option`, `shape-mismatch`, `invalid-vector`, `unknown-id`, and what the model throws
   *
   * @example
   * await index.search({ add: ["beach", { image: photo }], subtract: "people" }, { filter: { year: { $gte: 2020 } } });
   */
  async search(query: Query, options: SearchOptions = {}): Promise<IndexMatch[]> {
    const [matches = []] = await this.#search([query], options, "search()");
    return matches;
  }

  /**
   * Returns the items most similar to each of several queries, which reads the vectors fewer times than one search each.
   *
   * @throws ClipError those of `search`
   */
  async searchMany(queries: Embeddings | readonly Query[], options: SearchOptions = {}): Promise<IndexMatch[][]> {
    if (!isEmbeddings(queries)) return this.#search(queries, options, "searchMany()");
    checkEmbeddings("queries", queries);
    const [rows, columns] = queries.shape;
    const list = Array.from({ length: rows }, (_, row) => queries.data.subarray(row * columns, (row + 1) * columns));
    return this.#search(list, options, "searchMany()");
  }

  async #search(queries: readonly Query[], options: SearchOptions, call: string): Promise<IndexMatch[][]> {
    const { k = 10, offset = 0, filter, minScore } = checkOptions(call, options, SEARCH);
    check("queries", queries, { expected: "a list of queries", accepts: Array.isArray });
    if (queries.length === 0) return [];
    const vectors = await Promise.all(
      queries.map((query) =>
        queryVector(query, {
          model: this.#model,
          dimension: this.dimension,
          vectorOfItem: async (id) => vectorOf((await this.vectors([id])).data, this.dimension, "the item"),
        }),
      ),
    );
    const rows = new Float32Array(vectors.length * this.dimension);
    for (const [row, vector] of vectors.entries()) rows.set(vector, row * this.dimension);
    const search = { k, offset, ...(filter && { filter }), ...(minScore !== undefined && { minScore }) };
    const found = await this.#client.call((api) => api.search(transfer(rows, [rows.buffer]), search));
    return found.map((matches) => matches.map((match: WireMatch) => ({ ...toItem(match), score: match.score })));
  }

  /**
   * Returns groups of near-duplicates, which pairs join that are similar enough. Every item is compared with every other one: 100,000
   * items take a minute or so; other calls are answered meanwhile.
   *
   * @throws ClipError `invalid-option`, `aborted`
   */
  async duplicates(options: DuplicatesOptions = {}): Promise<StoredItem[][]> {
    const { threshold = 0.95, ...work } = checkOptions("duplicates()", options, DUPLICATES);
    const groups = await runJob(
      this.#client,
      () => this.#client.call((api) => api.startDuplicates(threshold)),
      (job) => this.#client.call((api) => api.groups(job)),
      work,
    );
    return groups.map((group) => group.map(toItem)).filter((group) => group.length > 1);
  }

  /**
   * Divides the items into clusters, by k-means on their vectors, and names them by words of the caller's.
   *
   * @throws ClipError `invalid-option`, `aborted`, and what the model throws
   *
   * @example
   * const albums = await index.clusters({ k: 12, words: ["beach", "mountains", "food", "birthday"] });
   */
  clusters(options: ClustersOptions): Promise<Cluster[]> {
    return findClusters(this.#client, options, this.#model, this.dimension);
  }

  /**
   * Calls `listener` when another tab has changed the index; returns how to stop that. Reads see the newest state in any case. In Node
   * nothing says so, and `listener` is never called.
   *
   * @throws ClipError `invalid-option`
   */
  onChange(listener: () => void): () => void {
    check("listener", listener, callback());
    if (!this.#channel) return () => undefined;
    const { name, writer } = this.#channel;
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: MessageEvent<Partial<IndexChange>>) => {
      if (data.writer !== undefined && data.writer !== writer) listener();
    };
    return () => channel.close();
  }

  /** Ends the worker, after the calls before it. The index is on the disk at any time; calls afterwards throw `disposed`. */
  async close(): Promise<void> {
    await this.#client.call((api) => api.close()).catch(() => undefined);
    this.#client.dispose();
  }

  /** `await using index = await VectorIndex.open(…)` closes it at the end of the block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Runs `use` with a worker that has no index. */
async function withWorker<T>(use: (client: IndexClient) => Promise<T>): Promise<T> {
  const client = await startIndex();
  try {
    return await use(client);
  } finally {
    client.dispose();
  }
}
