/** A folder of pictures with their captions. */

import { ClipError } from "../../workers/error.js";
import { checked, type Schema, text } from "../options.js";
import { COLUMNS, readTable, type TableColumns } from "./caption-table.js";
import { decodeText } from "./decode-text.js";
import { type Folder, type FolderFile, finder, listFolder } from "./files.js";
import type { ImageTextPair } from "./pairs.js";
import { badSample, CAPTIONS, type CaptionOptions, isImage, sampleOfText } from "./sample.js";

/** How a folder is read. */
export interface ImageFolderOptions extends TableColumns, CaptionOptions {
  /** Path in the folder of the table with the captions. @default metadata.csv, .tsv or .jsonl, or captions, where there is one */
  table?: string;
}

const IMAGE_FOLDER = {
  ...COLUMNS,
  ...CAPTIONS,
  table: text("the path of a table in the folder"),
} satisfies Schema<ImageFolderOptions>;

const TABLE = /^(metadata|captions)\.(csv|tsv|jsonl)$/i;

/** Path without extension, and extension in lower case. */
function split(path: string): [stem: string, extension: string] {
  const dot = path.lastIndexOf(".");
  return dot > path.lastIndexOf("/") ? [path.slice(0, dot), path.slice(dot + 1).toLowerCase()] : [path, ""];
}

function findTable(files: readonly FolderFile[], wanted: string | undefined): FolderFile | undefined {
  if (wanted === undefined) return files.find(({ path }) => TABLE.test(path));
  const found = files.find(({ path }) => path === wanted);
  if (found) return found;
  throw new ClipError("invalid-dataset", `expected the table ${wanted} in the folder, got ${files.length} other files`);
}

/**
 * Reads the pairs of a folder: each picture's caption from the `.txt` file of the same name beside it, or from a table
 * (`metadata.csv`, as Hugging Face's ImageFolder has it). Folders in it are read too. The order is that of the paths, so
 * that a run can be gone on with.
 *
 * @throws ClipError `invalid-dataset` for a folder without pictures and for a table that cannot be read, `invalid-source`,
 * `source-unreadable`
 *
 * @example
 * const folder = await showDirectoryPicker(); // in Node a path
 * for await (const event of trainer.fit(() => imageFolder(folder))) { … }
 */
export async function* imageFolder(
  folder: Folder,
  given: ImageFolderOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const options = checked("imageFolder()", given, IMAGE_FOLDER);
  const files = await listFolder(folder);
  const captions = new Map(
    files.filter(({ path }) => split(path)[1] === "txt").map((file) => [split(file.path)[0], file]),
  );
  const images = files.filter(({ path }) => isImage(split(path)[1]));
  if (images.length === 0) {
    throw new ClipError("invalid-dataset", `expected a folder with pictures, got ${files.length} files and none`);
  }
  const table = findTable(files, options.table);
  if (table) {
    const beside = table.path.slice(0, table.path.lastIndexOf("/") + 1);
    yield* readTable(decodeText(await table.bytes(), options.encoding), table.path, options, finder(files, beside));
    return;
  }
  for (const image of images) {
    const [key] = split(image.path);
    const file = captions.get(key);
    if (file) yield sampleOfText(key, await image.image(), await file.bytes(), options);
    else yield badSample(key, `expected a caption for ${image.path} in ${key}.txt, got no such file`);
  }
}
