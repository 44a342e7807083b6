/** The tables in a folder, and the pictures that they name. */

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

/** The table at a path in a folder. */
export function tableAt(files: readonly FolderFile[], path: string): FolderFile {
  const index = new FileIndex(files);
  const table = index.find(path);
  if (table) return table;
  const got = `got ${files.length} other files${index.hint(path)}`;
  throw invalid(`expected the table ${path.slice(0, 200)} in the folder, ${got}`);
}

/** The tables of a folder and of those in it, the deepest first: the nearest to a picture has its caption. */
export function tablesIn(files: readonly FolderFile[]): FolderFile[] {
  const tables = files.filter(({ path }) => TABLE.test(path.slice(folderOf(path).length)));
  const perFolder = new Map<string, string>();
  for (const { path } of tables) {
    if (/\.parquet(\.gz)?$/i.test(path))
      throw invalid(`expected a table as csv, tsv or jsonl, got ${excerpt(path)}: convert it`);
    const other = perFolder.get(folderOf(path));
    if (other !== undefined) {
      throw invalid(`expected one table in a folder, got ${other} and ${path}: say which by { table: "${path}" }`);
    }
    perFolder.set(folderOf(path), path);
  }
  const depth = ({ path }: FolderFile) => path.split("/").length;
  return tables.sort((a, b) => depth(b) - depth(a));
}

/** The pictures that tables name: the table that each was first named in, and its captions there. */
export type NamedImages = Map<FolderFile, { table: FolderFile; captions: string }>;

/**
 * The pairs of tables, whose names begin in each one's own folder, as Hugging Face's ImageFolder has it
 * (datasets 5.2, `folder_based_builder.py`). Where two name a picture, the first has it; the other must say the same.
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
        // a row that is broken names its picture, too
        found ??= index.find(pair.key ?? "", folderOf(table.path));
        const captions = JSON.stringify([pair.text, pair.moreTexts]);
        const first = found && named.get(found);
        if (found && first && first.table !== table && first.captions !== captions) {
          const expected = `expected its caption in one table, got others in ${first.table.path} and ${table.path}`;
          yield badSample(found.path, expected);
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
