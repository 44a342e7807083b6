/** Writes an index as files in clip-retrieval's layout. */

import type { ExportedFile } from "../../workers/protocol/api.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { Metadata } from "../../workers/protocol/index-data.js";
import { oneOf, positiveInteger, type Schema } from "../options/rules.js";
import { toHalf } from "./half.js";
import { type ColumnPlan, planColumns } from "./metadata-columns.js";
import { NOTE, noteOf } from "./note.js";
import { newNpy } from "./npy.js";
import { writeParquet } from "./parquet-writer.js";
import type { EmbeddingRow, EmbeddingRows } from "./row.js";
import { shardPaths } from "./shards.js";

/** How an index is exported. */
export interface ExportOptions {
  /** Type of the vectors' values; clip-retrieval's is `float16`. @default "float16" */
  dtype?: "float16" | "float32";
  /** Rows a file. @default as many as fill 64 MiB */
  rowsPerFile?: number;
}

export const EXPORT: Schema<ExportOptions> = {
  dtype: oneOf("float16", "float32"),
  rowsPerFile: positiveInteger,
};

/** Bytes of vectors a file. */
const FILE_BYTES = 1 << 26;

/** The rows of two files, as they are collected. */
class ShardWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #values: Float32Array | Uint16Array;
  readonly #ids: string[] = [];
  readonly #columns: unknown[][];

  constructor(
    readonly rows: number,
    readonly dimension: number,
    readonly plan: ColumnPlan,
    dtype: "float16" | "float32",
  ) {
    const [bytes, begin] = newNpy(dtype === "float16" ? "f2" : "f4", rows, dimension);
    this.#bytes = bytes;
    const Values = dtype === "float16" ? Uint16Array : Float32Array;
    this.#values = new Values(bytes.buffer, begin, rows * dimension);
    this.#columns = plan.columns.map(() => []);
  }

  get isFull(): boolean {
    return this.#ids.length === this.rows;
  }

  add({ id, vector, metadata }: EmbeddingRow): void {
    if (vector.length !== this.dimension)
      throw new ClipError("shape-mismatch", `${excerpt(id)}: expected ${this.dimension} values, got ${vector.length}`);
    const at = this.#ids.length * this.dimension;
    if (this.#values instanceof Uint16Array) toHalf(vector, this.#values.subarray(at, at + this.dimension));
    else this.#values.set(vector, at);
    this.#ids.push(id);
    for (const [i, { value }] of this.plan.columns.entries()) this.#columns[i]?.push(metadata && value(metadata));
  }

  /** The files; its memory is theirs. */
  files(paths: { vectors: string; table: string }, note: string): ExportedFile[] {
    const ids = { name: this.plan.id, type: "STRING" as const, required: true, values: this.#ids };
    const columns = this.plan.columns.map(({ name, type }, i) => ({ name, type, values: this.#columns[i] ?? [] }));
    const table = writeParquet(this.rows, [ids, ...columns], { [NOTE]: note });
    return [
      { name: paths.vectors, data: this.#bytes },
      { name: paths.table, data: table },
    ];
  }
}

/**
 * Writes the items of an index as files in clip-retrieval's layout, one after another; their names are paths with `/`. No more than two are
 * in memory.
 *
 * @param metadata - of all items, in any order: they decide the columns before a row is written
 * @throws ClipError `count-mismatch` if there are other rows than announced, `shape-mismatch`
 */
export async function* exportFiles(
  items: EmbeddingRows,
  metadata: AsyncIterable<Metadata | undefined>,
  options: ExportOptions = {},
): AsyncGenerator<ExportedFile, void, undefined> {
  const { count, dimension } = items;
  const { dtype = "float16", rowsPerFile } = options;
  const most = rowsPerFile ?? Math.max(1, Math.floor(FILE_BYTES / (dimension * (dtype === "float16" ? 2 : 4))));
  const plan = await planColumns(metadata, "image_path", "id");
  const note = noteOf(plan, items.model);
  // an empty index is a pair of files without rows
  const shards = Math.max(1, Math.ceil(count / most));
  const begin = (shard: number) => new ShardWriter(Math.min(most, count - shard * most), dimension, plan, dtype);
  let [shard, writer] = [0, begin(0)];
  for await (const row of items.rows()) {
    if (writer.isFull && ++shard < shards) writer = begin(shard);
    if (writer.isFull) throw miscounted(count, "more");
    writer.add(row);
    if (writer.isFull) yield* writer.files(shardPaths(shard, shards), note);
  }
  if (!writer.isFull || shard + 1 < shards) throw miscounted(count, "fewer");
  if (count === 0) yield* writer.files(shardPaths(0, 1), note);
}

const miscounted = (count: number, than: string) =>
  new ClipError("count-mismatch", `expected ${count} rows, got ${than}: the index changed while it was exported`);
