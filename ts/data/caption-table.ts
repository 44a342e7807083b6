/** Tables that name a picture and its caption in each row: csv, tsv, and JSON line by line. */

import { isClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { checkOptions } from "../options/check.js";
import type { Schema } from "../options/rules.js";
import { decodeLines, ENCODING, type EncodingOptions } from "./decode-text.js";
import { imageFinder } from "./file-index.js";
import { type Folder, listFolder } from "./folder.js";
import type { ImageTextPair } from "./pairs.js";
import { nameOf, openReadable, type ReadableSource, readAll } from "./readable.js";
import { badSample, sample } from "./sample.js";
import { COLUMNS, type TableColumns } from "./table-columns.js";
import { openTable } from "./table-file.js";
import { type ImageFinder, imagesBeside } from "./table-images.js";
import { tableRows } from "./table-rows.js";

/** How a table is read. */
export interface CaptionTableOptions extends TableColumns, EncodingOptions {
  /** Where the pictures are: a folder, or what makes one of a name. @default beside the table */
  images?: Folder | ((name: string) => ImageInput | Promise<ImageInput>);
}

const CAPTION_TABLE = {
  ...COLUMNS,
  ...ENCODING,
  images: {
    expected: "a folder, or a function that makes a picture of a name",
    accepts: (value: unknown) => ["string", "object", "function"].includes(typeof value) && value !== null,
  },
} satisfies Schema<CaptionTableOptions>;

/** The pairs of a table's file: the rows of one picture are captions of it. */
export async function* readTable(
  file: Uint8Array,
  fileName: string,
  options: TableColumns & EncodingOptions,
  find: ImageFinder,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const text = decodeLines(await openTable(file), options.encoding).replace(/^\ufeff/, "");
  const captions = new Map<string, string[]>();
  const found: (ImageTextPair | string)[] = [];
  for (const { where, name, captions: texts, problem } of tableRows(text, fileName, options)) {
    if (problem !== undefined) found.push(badSample(name || where, `${where}: ${problem}`));
    else if (captions.has(name)) captions.get(name)?.push(...texts);
    else {
      captions.set(name, texts);
      found.push(name);
    }
  }
  for (const pair of found) {
    if (typeof pair !== "string") {
      yield pair;
      continue;
    }
    yield await ofRows(pair, captions.get(pair) as string[], find);
  }
}

async function ofRows(key: string, texts: readonly string[], find: ImageFinder): Promise<ImageTextPair> {
  let image: ImageInput | undefined;
  try {
    image = await find(key);
  } catch (error) {
    // what was found and is no picture, or cannot be read; a function of the user's own fails with its own errors
    if (!isClipError(error)) throw error;
    return badSample(key, error.message);
  }
  return image === undefined ? badSample(key, "expected a picture of that name, got none") : sample(key, image, texts);
}

/**
 * Reads the pairs of a table that names a picture and a caption in each row: separated values under a header (csv, tsv, with
 * any separator), or JSON, one object a line or an array of them; gzipped or not. Several rows of the same picture are several
 * captions of it. Names are those of files, whatever characters they have; whole addresses are addresses.
 *
 * A row that is not what its header says, whose quotes are broken, that has no caption or cannot be decoded is a pair with an
 * `error`, which names the row: `fit` stops at it, or goes without it. Rows are counted as spreadsheets do, the header first.
 *
 * @throws ClipError `invalid-dataset` for a table that cannot be read or lacks the columns, `invalid-source`,
 * `source-unreadable`
 *
 * @example
 * for await (const event of trainer.fit(() => captionTable("photos/captions.csv"))) { … }
 */
export async function* captionTable(
  table: ReadableSource,
  given: CaptionTableOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const options = checkOptions("captionTable()", given, CAPTION_TABLE);
  const { images } = options;
  const file = await readAll(await openReadable(table));
  let find: ImageFinder;
  if (images === undefined) find = imagesBeside(table);
  else find = typeof images === "function" ? images : imageFinder(await listFolder(images));
  yield* readTable(file, (nameOf(table) ?? "").replace(/[?#].*$/, ""), options, find);
}
