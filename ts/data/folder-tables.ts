/** Reads the tables in a folder, and the images that they name. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { readTable } from "./caption-table.js";
import type { EncodingOptions } from "./decode-text.js";
import { FileIndex, imageOf } from "./file-index.js";
import { type FolderFile, folderOf } from "./folder.js";
import type { ImageTextPair } from "./pairs.js";
import { badSample } from "./sample.js";
import type { TableColumns } from "./table-columns.js";

const TABLE = /^(metadata|captions)\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$/i;

const invalid = (message: string) => new ClipError("invalid-dataset", message);

/** @throws ClipError `invalid-dataset` without a table at the path */
export function tableAt(files: readonly FolderFile[], path: string): FolderFile {
  const index = new FileIndex(files);
  const table = index.find(path);
  if (table) return table;
  throw invalid(`no table ${path.slice(0, 200)} among the folder's ${files.length} files${index.hint(path)}`);
}

/**
 * Finds the tables of a folder and below, the deepest first: an image takes its caption from the nearest table.
 *
 * @throws ClipError `invalid-dataset` for two tables in one folder, and for a format that is not read
 */
export function tablesIn(files: readonly FolderFile[]): FolderFile[] {
  const tables = files.filter(({ path }) => TABLE.test(path.slice(folderOf(path).length)));
  const perFolder = new Map<string, string>();
  for (const { path } of tables) {
    if (/\.parquet(\.gz)?$/i.test(path))
      throw invalid(`expected a table as csv, tsv or jsonl, got ${excerpt(path)}: convert it`);
    const other = perFolder.get(folderOf(path));
    if (other !== undefined) {
      throw invalid(`expected one table in a folder, got ${other} and ${path}: choose one by { table: "${path}" }`);
    }
    perFolder.set(folderOf(path), path);
  }
  const depth = ({ path }: FolderFile) => path.split("/").length;
  return tables.sort((a, b) => depth(b) - depth(a));
}

/** For each image that tables name, the first table that names it, and its captions there. */
export type NamedImages = Map<FolderFile, { table: FolderFile; captions: string }>;

/**
 * Reads the pairs of tables. Image names are relative to the table's folder, as in Hugging Face's ImageFolder (datasets 5.2,
 * `folder_based_builder.py`). An image that two tables name is read from the first; the other must have the same captions.
 *
 * @throws ClipError `invalid-dataset`
 */
export async function* readTables(
  tables: readonly FolderFile[],
  files: readonly FolderFile[],
  named: NamedImages,
  options: TableColumns & EncodingOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const index = new FileIndex(files);
  for (const table of tables) {
    let found: FolderFile | undefined;
    const find = async (name: string) => {
      found = index.get(name, folderOf(table.path));
      return imageOf(found);
    };
    try {
      for await (const pair of readTable(await table.bytes(), table.path, options, find)) {
        // a malformed row names its image, too
        found ??= index.find(pair.key ?? "", folderOf(table.path));
        const captions = JSON.stringify([pair.text, pair.moreTexts]);
        const first = found && named.get(found);
        if (found && first && first.table !== table && first.captions !== captions) {
          yield badSample(found.path, `${first.table.path} and ${table.path} have different captions for it`);
        } else if (!first || first.table === table) {
          if (found) named.set(found, { table, captions });
          yield tables.length === 1 ? pair : { ...pair, key: `${folderOf(table.path)}${pair.key}` };
        }
        found = undefined;
      }
    } catch (error) {
      const { code, message } = toClipError(error);
      throw new ClipError(code, `${table.path}: ${message}`, { cause: error });
    }
  }
}
