/** Reads embeddings in clip-retrieval's layout. */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { JsonValue, Metadata } from "../../workers/protocol/index-data.js";
import { type Folder, type FolderFile, listFolder } from "../data/folder.js";
import { oneOf, type RuleFor, type Schema, strings } from "../options/rules.js";
import { metadataOf } from "./metadata-columns.js";
import { type Note, readNote } from "./note.js";
import { type Npy, openNpy } from "./npy.js";
import { openParquet, type ParquetTable } from "./parquet-reader.js";
import type { EmbeddingRow, EmbeddingRows } from "./row.js";
import { pairShards, type Shard } from "./shards.js";

export type { Folder };

/** How embeddings are read. */
export interface ReadOptions {
  /** Whose embeddings: `img_emb/` or `text_emb/`. @default "image" */
  embeddings?: "image" | "text";
  /**
   * Column of the ids; `null` numbers the rows from 0, over all files, as clip-retrieval does.
   * @default what an export of clipwright noted, or else `image_path`
   */
  ids?: string | null;
  /** Columns that become metadata. @default all but that of the ids and those of pandas' index */
  columns?: readonly string[];
}

const IDS: RuleFor<string | null> = {
  expected: "the name of a column, or null",
  accepts: (value) => value === null || typeof value === "string",
};

export const READ: Schema<ReadOptions> = { embeddings: oneOf("image", "text"), ids: IDS, columns: strings };

const invalid = (path: string, problem: string) => new ClipError("invalid-dataset", `${path}: ${problem}`);

/** The opened files of a shard, and which columns are read. */
interface OpenShard {
  npy: Npy;
  table: ParquetTable;
  /** Column of the ids; `null` for the numbers of the rows. */
  id: string | null;
  columns: readonly string[];
  note: Note | undefined;
}

/** Opens a shard and checks that its files belong together. */
async function openShard({ vectors, table }: Shard<FolderFile>, options: ReadOptions): Promise<OpenShard> {
  const npy = await openNpy(vectors.path, await vectors.seek());
  const { path } = table;
  const parquet = await openParquet(path, await table.seek());
  if (npy.rows !== parquet.rows)
    throw invalid(path, `expected ${npy.rows} rows, as ${vectors.path} has, got ${parquet.rows}`);
  const note = readNote(path, parquet.notes);
  const id = options.ids === undefined ? (note?.id ?? "image_path") : options.ids;
  const names = parquet.columns.map(excerpt).join(", ");
  for (const column of [...(id === null ? [] : [id]), ...(options.columns ?? [])])
    if (!parquet.columns.includes(column)) {
      const hint = options.ids === undefined && column === id ? "; name that of the ids in ids, or pass ids: null" : "";
      throw invalid(path, `no column ${excerpt(column)}, but ${names}${hint}`);
    }
  const all = parquet.columns.filter((column) => column !== id && !/^__index_level_\d+__$/.test(column));
  return { npy, table: parquet, id, columns: options.columns ?? all, note };
}

/** Returns a value as an id. */
function idOf(value: JsonValue | undefined, where: string): string {
  if ((typeof value === "string" && value !== "") || typeof value === "number") return `${value}`;
  throw invalid(where, `expected a text or a number as id, got ${excerpt(JSON.stringify(value) ?? "none")}`);
}

/** Reads the rows of a shard; `first` is the number of the first one. */
async function* readShard(
  path: string,
  { npy, table, id, columns, note }: OpenShard,
  first: number,
): AsyncGenerator<EmbeddingRow, void, undefined> {
  const blocks = npy.blocks();
  let [block, at, row]: [Float32Array, number, number] = [new Float32Array(), 0, 0];
  const read = id === null ? columns : [...columns, id];
  for await (const group of table.groups(read)) {
    for (const values of group) {
      if (at === block.length) [block, at] = [(await blocks.next()).value ?? block, 0];
      const vector = block.slice(at, at + npy.dimension);
      at += npy.dimension;
      const isWhole = note?.whole !== undefined && columns.length === 1 && columns[0] === note.whole;
      const metadata = isWhole ? (values[0] as Metadata | undefined) : metadataOf(columns, values);
      const name = id === null ? `${first + row}` : idOf(values.at(-1), `${path}, row ${row}`);
      yield { id: name, vector, ...(metadata && { metadata }) };
      row++;
    }
  }
}

/**
 * Opens embeddings in clip-retrieval's layout. All files are checked before it resolves, but for the values in them.
 *
 * @throws ClipError `invalid-dataset` for files that are damaged, cut off, of unequal numbers of rows or dimensions, or without their
 * counterpart, and for columns that are missing; `invalid-source`, `source-unreadable`
 */
export async function readEmbeddings(folder: Folder, options: ReadOptions = {}): Promise<EmbeddingRows> {
  const shards = pairShards(await listFolder(folder), options.embeddings ?? "image");
  let count = 0;
  let [dimension, model, from]: [number, string | undefined, string] = [0, undefined, ""];
  for (const shard of shards) {
    const { npy, note } = await openShard(shard, options);
    const { path } = shard.vectors;
    if (from === "") [dimension, model, from] = [npy.dimension, note?.model, path];
    if (npy.dimension !== dimension)
      throw invalid(path, `expected rows of ${dimension} values, as ${from} has, got ${npy.dimension}`);
    if (note?.model !== model)
      throw invalid(shard.table.path, `another model made these embeddings than those of ${from}`);
    count += npy.rows;
  }
  return {
    count,
    dimension,
    ...(model !== undefined && { model }),
    async *rows() {
      let first = 0;
      for (const shard of shards) {
        const open = await openShard(shard, options);
        yield* readShard(shard.table.path, open, first);
        first += open.npy.rows;
      }
    },
  };
}
