/** Reads Parquet, by hyparquet: <https://github.com/hyparam/hyparquet>. */

import {
  type CompressionCodec,
  type FileMetaData,
  type ParquetParsers,
  parquetMetadataAsync,
  parquetScan,
  parquetSchema,
  type SchemaElement,
  snappyUncompress,
} from "hyparquet";
import { ClipError, isClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { JsonValue } from "../../workers/protocol/index-data.js";
import type { SeekableFile } from "../data/folder.js";

/** Largest description of a file at its end, in bytes. */
const MAX_FOOTER = 1 << 26;
/** Largest page, unpacked: writers make them of 1 MB. */
const MAX_PAGE = 1 << 29;

const invalid = (path: string, problem: string, cause?: unknown) =>
  new ClipError("invalid-dataset", `${path}: ${problem}`, { cause });

/** Unpacks a page into so many bytes. */
type Unpack = (packed: Uint8Array, length: number) => Uint8Array;

const snappy: Unpack = (packed, length) => {
  const bytes = new Uint8Array(length);
  snappyUncompress(packed, bytes);
  return bytes;
};

/** Finds what unpacks a file's pages; all but Snappy, which most writers use, is loaded when it is met. */
async function unpackers(codecs: ReadonlySet<string>): Promise<Partial<Record<CompressionCodec, Unpack>>> {
  const foreign = [...codecs].some((codec) => codec !== "UNCOMPRESSED" && codec !== "SNAPPY");
  const all = { SNAPPY: snappy, ...(foreign && (await import("./parquet-codecs.js")).CODECS) };
  const bounded =
    (unpack: Unpack): Unpack =>
    (packed, length) => {
      if (length > MAX_PAGE) throw new Error(`a page of ${length} bytes is over ${MAX_PAGE}`);
      return unpack(packed, length);
    };
  return Object.fromEntries(Object.entries(all).map(([codec, unpack]) => [codec, bounded(unpack)]));
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const text = (bytes: Uint8Array | undefined) => bytes && strict.decode(bytes);
/** Text is strict, and JSON stays text, so that its `null` differs from no value. */
const PARSERS: Partial<ParquetParsers> = { stringFromBytes: text, jsonFromBytes: text };

const isJson = ({ converted_type, logical_type }: SchemaElement) =>
  converted_type === "JSON" || logical_type?.type === "JSON";

/** Returns a value of a column as JSON, or `undefined` where there is none; pandas writes NaN for a number that is missing. */
function toJson(value: unknown): JsonValue | undefined {
  if (value === null || value === undefined || Number.isNaN(value)) return undefined;
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw new Error("an infinite number is no JSON");
  }
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) throw new Error("bytes are no JSON");
  if (Array.isArray(value)) return value.map((item) => toJson(item) ?? null);
  const entries = Object.entries(value).map(([key, item]) => [key, toJson(item)] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, JsonValue] => entry[1] !== undefined));
}

/** A table in a file. */
export interface ParquetTable {
  rows: number;
  /** Names of the columns. */
  columns: readonly string[];
  /** What its writer noted about it, by key. */
  notes: ReadonlyMap<string, string>;
  /**
   * Reads columns, a group of rows at a time: their values by row, in the order of `columns`.
   *
   * @throws ClipError `invalid-dataset` for damaged pages, and for values that JSON cannot express; `source-unreadable`
   */
  groups(columns: readonly string[]): AsyncGenerator<(JsonValue | undefined)[][], void, undefined>;
}

/** Reads what the end of a file says about it. */
async function readFooter(path: string, file: SeekableFile): Promise<FileMetaData> {
  const end = file.size < 12 ? undefined : await file.slice(file.size - 8, file.size);
  const magic = end && String.fromCharCode(...end.subarray(4));
  if (!end || magic !== "PAR1")
    throw invalid(path, magic === "PARE" ? "the table is encrypted" : "it is no Parquet file, or was cut off");
  const length = new DataView(end.buffer, end.byteOffset).getUint32(0, true);
  if (length > MAX_FOOTER) throw invalid(path, `its description has ${length} bytes, over ${MAX_FOOTER}`);
  return guarded(path, () => parquetMetadataAsync(asyncBuffer(file), { geoparquet: false }));
}

async function part(file: SeekableFile, start: number, end: number): Promise<ArrayBuffer> {
  // Node ends the process where a Blob is asked for other bytes than it has
  if (!(start >= 0 && start <= end && end <= file.size))
    throw new Error(`bytes ${start} to ${end} are not in the file`);
  return (await file.slice(start, end)).buffer;
}

const asyncBuffer = (file: SeekableFile) => ({
  byteLength: file.size,
  slice(start: number, end = file.size) {
    const bytes = part(file, start, end);
    // hyparquet asks ahead for what it may never await
    bytes.catch(() => {});
    return bytes;
  },
});

/** Runs a part of hyparquet, whose errors are about the file. */
async function guarded<T>(where: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (isClipError(error)) throw error;
    throw invalid(where, excerpt(toClipError(error).message), error);
  }
}

/**
 * Opens a table.
 *
 * @param path - name of the file, for messages
 * @throws ClipError `invalid-dataset` for a damaged file, or another one; `source-unreadable`
 */
export async function openParquet(path: string, file: SeekableFile): Promise<ParquetTable> {
  const metadata = await readFooter(path, file);
  const tree = await guarded(path, async () => parquetSchema(metadata));
  const elements = new Map(tree.children.map(({ element }) => [element.name, element]));
  if ([...elements.keys()].some((name) => typeof name !== "string")) throw invalid(path, "a column has no name");
  const rows = Number(metadata.num_rows);
  const inGroups = metadata.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
  if (!Number.isSafeInteger(rows) || inGroups !== rows || metadata.row_groups.some((group) => group.num_rows < 0n))
    throw invalid(path, `its description is damaged: ${metadata.num_rows} rows, in groups of ${inGroups}`);
  return {
    rows,
    columns: [...elements.keys()],
    notes: new Map(metadata.key_value_metadata?.map(({ key, value = "" }) => [key, value])),
    async *groups(columns) {
      if (rows === 0) return;
      const codecs = metadata.row_groups.flatMap((group) => group.columns.map((chunk) => chunk.meta_data?.codec ?? ""));
      const compressors = await unpackers(new Set(codecs));
      const options = { file: asyncBuffer(file), metadata, compressors, parsers: PARSERS, geoparquet: false };
      const scan = await guarded(path, () => parquetScan({ ...options, columns: [...columns], useOffsetIndex: false }));
      for (const { rowStart, rowEnd } of scan.ranges) {
        const values = Array.from({ length: rowEnd - rowStart }, () => [] as (JsonValue | undefined)[]);
        for (const column of columns) {
          const json = isJson(elements.get(column) as SchemaElement);
          await guarded(`${path}, column ${excerpt(column)}`, async () => {
            const read = await scan.readColumn({ column, rowStart, rowEnd });
            if (read.length !== values.length) throw new Error(`expected ${values.length} values, got ${read.length}`);
            for (const [i, row] of values.entries()) {
              const value = toJson(read[i]);
              row.push(json && typeof value === "string" ? (JSON.parse(value) as JsonValue) : value);
            }
          });
        }
        yield values;
      }
    },
  };
}
