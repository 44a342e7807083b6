/** Reads tables with the name of an image and its caption in each row: CSV, TSV and JSON lines. */

import { isClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { checkOptions } from "../options/check.js";
import type { Schema } from "../options/rules.js";
import { decodeLines, ENCODING, type EncodingOptions } from "./decode-text.js";
import { imageFinder } from "./file-index.js";
import { type Folder, listFolder } from "./folder.js";
import type { ImageTextPair } from "./pairs.js";
import { openReadable, pathIn, type ReadableSource, readAll } from "./readable.js";
import { badSample, sample } from "./sample.js";
import { COLUMNS, type TableColumns } from "./table-columns.js";
import { MAX_TABLE_BYTES, openTable } from "./table-file.js";
import { type ImageFinder, imagesBeside } from "./table-images.js";
import { tableRows } from "./table-rows.js";

/** How a table is read. */
export interface CaptionTableOptions extends TableColumns, EncodingOptions {
  /** Where the images are: a folder, or a function from name to image. @default beside the table */
  images?: Folder | ((name: string) => ImageInput | Promise<ImageInput>);
}

const CAPTION_TABLE = {
  ...COLUMNS,
  ...ENCODING,
  images: {
    expected: "a folder, or a function from name to image",
    accepts: (value: unknown) => ["string", "object", "function"].includes(typeof value) && value !== null,
  },
} satisfies Schema<CaptionTableOptions>;

/**
 * Reads the pairs of a table file. Rows of the same image become one pair with several captions.
 *
 * @throws ClipError `invalid-dataset`
 */
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
    // errors of the caller's own function pass through
    if (!isClipError(error)) throw error;
    return badSample(key, error.message);
  }
  return image === undefined ? badSample(key, "no image of that name") : sample(key, image, texts);
}

/** Reads it for `captionTable` of `datasets.ts`. */
export async function* captionTable(
  table: ReadableSource,
  options: CaptionTableOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const given = checkOptions("captionTable()", options, CAPTION_TABLE);
  const { images } = given;
  const file = await readAll(await openReadable(table), MAX_TABLE_BYTES);
  let find: ImageFinder;
  if (images === undefined) find = imagesBeside(table);
  else find = typeof images === "function" ? images : imageFinder(await listFolder(images));
  yield* readTable(file, pathIn(table), given, find);
}
