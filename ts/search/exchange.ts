/** An index and files of embeddings: one becomes the other. What reads and writes the files is loaded when it is first needed. */

import type { ExportedFile } from "../../workers/protocol/api.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { Metadata } from "../../workers/protocol/index-data.js";
import type { Embeddings } from "../encode/embeddings.js";
import type { ExportOptions } from "../exchange/export.js";
import type { Folder, ReadOptions } from "../exchange/import.js";
import { checkOptions } from "../options/check.js";
import { oneOf } from "../options/rules.js";
import type { ItemBatch } from "./items.js";
import { checkFingerprint } from "./model.js";

/** How embeddings become items of an index. */
export interface ImportOptions extends ReadOptions {
  /**
   * What happens to ids that the index has already: `"refuse"` throws `duplicate-id`, `"replace"` puts the new items in their place.
   * @default "refuse"
   */
  existing?: "refuse" | "replace";
}

/** What an index does for both. */
interface Exchanging {
  readonly dimension: number;
  size(): Promise<number>;
  items(): AsyncIterable<{ id: string; metadata: Metadata | undefined }>;
  vectors(ids: readonly string[]): Promise<Embeddings>;
  add(items: ItemBatch): Promise<void>;
  put(items: ItemBatch): Promise<void>;
}

/** Items that cross to the worker and back at a time. */
const BATCH = 2000;

/** Collects items in lists. */
async function* batches<T>(items: AsyncIterable<T>): AsyncGenerator<T[], void, undefined> {
  let batch: T[] = [];
  for await (const item of items) {
    if (batch.push(item) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function* rowsOf(index: Exchanging) {
  for await (const items of batches(index.items())) {
    const { data } = await index.vectors(items.map(({ id }) => id));
    for (const [i, { id, metadata }] of items.entries()) {
      const vector = data.subarray(i * index.dimension, (i + 1) * index.dimension);
      yield { id, vector, ...(metadata && { metadata }) };
    }
  }
}

async function* metadataOf(index: Exchanging) {
  for await (const { metadata } of index.items()) yield metadata;
}

/** Writes an index as files. */
export async function* exportIndex(
  index: Exchanging,
  model: string | undefined,
  options: ExportOptions,
): AsyncGenerator<ExportedFile, void, undefined> {
  const { EXPORT, exportFiles } = await import("../exchange/export.js");
  const given = checkOptions("exportFiles()", options, EXPORT);
  const [count, { dimension }] = [await index.size(), index];
  const items = { count, dimension, ...(model !== undefined && { model }), rows: () => rowsOf(index) };
  yield* exportFiles(items, metadataOf(index), given);
}

/** Reads files into an index; returns the number of items. */
export async function importIntoIndex(
  index: Exchanging,
  model: string | undefined,
  folder: Folder,
  options: ImportOptions,
): Promise<number> {
  const { READ, readEmbeddings } = await import("../exchange/import.js");
  const { existing = "refuse", ...given } = checkOptions("importFiles()", options, {
    ...READ,
    existing: oneOf("refuse", "replace"),
  });
  const found = await readEmbeddings(folder, given);
  const { dimension } = index;
  if (found.dimension !== dimension)
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: the files have vectors of ${found.dimension} numbers, the index of ${dimension}`,
    );
  if (model !== undefined && found.model !== undefined) checkFingerprint(found.model, model);
  for await (const rows of batches(found.rows())) {
    const data = new Float32Array(rows.length * dimension);
    for (const [i, { vector }] of rows.entries()) data.set(vector, i * dimension);
    const embeddings = { data, shape: [rows.length, dimension] as [number, number], normalized: true as const };
    const batch = { ids: rows.map(({ id }) => id), embeddings, metadata: rows.map(({ metadata }) => metadata ?? null) };
    await (existing === "refuse" ? index.add(batch) : index.put(batch));
  }
  return found.count;
}
