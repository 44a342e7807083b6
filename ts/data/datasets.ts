/** The readers of data sets. Their code, and the libraries that it uses, are loaded when a data set is read. */

import { ClipError } from "../../workers/protocol/error.js";
import type { CaptionTableOptions } from "./caption-table.js";
import type { Folder } from "./folder.js";
import type { ImageFolderOptions } from "./image-folder.js";
import type { ImageTextPair } from "./pairs.js";
import type { ReadableSource } from "./readable.js";
import type { WebDatasetOptions, WebDatasetSource } from "./webdataset.js";

/** Awaits the code of a reader, which a bundler or a server may have mislaid. */
async function loaded<T>(name: string, code: Promise<T>): Promise<T> {
  try {
    return await code;
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `cannot load clipwright's own reader of ${name}: ${message}`, {
      cause: error,
    });
  }
}

/**
 * Reads the pairs of a table with the name of an image and its caption in each row: separated values under a header (CSV, TSV, any
 * separator), or JSON as one object a line or an array of objects. The table may be compressed by gzip. Several rows of the same
 * image are several captions of it. Names are file names with any characters; absolute addresses are addresses.
 *
 * A malformed row, or one without a caption, is a pair with an `error` that names the row: `fit` throws it or skips the pair. Row
 * numbers are those of a spreadsheet: the header is row 1.
 *
 * @throws ClipError `invalid-option`, `invalid-source`, `source-unreadable`; `invalid-dataset` for a table that cannot be read or
 * lacks the columns
 *
 * @example
 * for await (const event of trainer.fit(() => captionTable("photos/captions.csv"))) { … }
 */
export async function* captionTable(
  table: ReadableSource,
  options: CaptionTableOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const reader = await loaded("tables", import("./caption-table.js"));
  yield* reader.captionTable(table, options);
}

/**
 * Reads the pairs of a folder and its subfolders. An image's caption is in the `.txt` file of the same name beside it, or in the
 * nearest table (`metadata.csv`, as in Hugging Face's ImageFolder). First bytes, not names, tell what is an image. Rows of tables
 * come first; the rest is in the order of paths, so that a run can be resumed.
 *
 * An image without a caption, and a caption without an image, is a pair with an `error`: `fit` throws it or skips the pair. Left out
 * are hidden files, and texts without an image that are named like notices (README.txt).
 *
 * @throws ClipError `invalid-option`, `invalid-source`, `source-unreadable`; `invalid-dataset` for a folder without images and for
 * a table that cannot be read
 *
 * @example
 * const folder = await showDirectoryPicker(); // in Node a path
 * for await (const event of trainer.fit(() => imageFolder(folder))) { … }
 */
export async function* imageFolder(
  folder: Folder,
  options: ImageFolderOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const reader = await loaded("folders", import("./image-folder.js"));
  yield* reader.imageFolder(folder, options);
}

/**
 * Streams the pairs of one or several shards: tar files, which may be compressed by gzip. A pair is an image and a caption (`.txt`)
 * that follow one another and whose names are the same up to the first dot. First bytes, not extensions, tell what is an image.
 * `{000..123}` and `{a,b}` in a name stand for several shards.
 *
 * An image without a caption, and a caption without an image, is a pair with an `error`: `fit` throws it or skips the pair. Other
 * members are ignored, as are further images of a complete sample (`0001.depth.png`).
 *
 * @throws ClipError `invalid-option`, `invalid-source`, `source-unreadable`; `invalid-dataset` for a file that is no tar file or is
 * truncated
 *
 * @example
 * for await (const event of trainer.fit(() => webDataset("https://…/shard-{000..011}.tar"))) { … }
 */
export async function* webDataset(
  shards: WebDatasetSource | readonly WebDatasetSource[],
  options: WebDatasetOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const reader = await loaded("tar files", import("./webdataset.js"));
  yield* reader.webDataset(shards, options);
}
