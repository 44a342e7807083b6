/** Which columns of a table are the picture's name and its caption. */

import { ClipError } from "../../workers/protocol/error.js";
import { type Schema, text } from "../options/rules.js";

/** Which columns are read. Letters' case, spaces, `-` and `_` in their names make no difference. */
export interface TableColumns {
  /** Column of the picture's name. @default the first of file_name, filepath, image, path, url */
  imageColumn?: string;
  /** Column of the caption. @default the first of text, caption, title */
  captionColumn?: string;
  /** What stands between columns. @default what the header has between the columns' names, or the `sep=` line says */
  separator?: string;
}

export const COLUMNS = {
  imageColumn: text("the name of a column"),
  captionColumn: text("the name of a column"),
  separator: {
    expected: "what stands between columns, at most 100 characters without quotes and lines' ends",
    accepts: (value: unknown) => typeof value === "string" && /^[^"\r\n]{1,100}$/.test(value),
    text: true,
  },
} satisfies Schema<TableColumns>;

/** Where the two columns are. */
export interface Columns {
  image: number;
  caption: number;
}

/** As img2dataset, OpenCLIP and Hugging Face's ImageFolder call them. */
const IMAGE_COLUMNS = ["file_name", "filepath", "image", "path", "url"];
const CAPTION_COLUMNS = ["text", "caption", "title"];

const plain = (name: string) => name.toLowerCase().replace(/[\s_-]/g, "");

/** Values in a message, few and short. */
export const list = (values: readonly string[]): string =>
  values
    .slice(0, 10)
    .map((value) => JSON.stringify(value.slice(0, 40)))
    .join(", ")
    .slice(0, 200);

function findColumn(header: readonly string[], wanted: string | undefined, usual: readonly string[]): number {
  const names = wanted === undefined ? usual : [wanted];
  for (const name of names) {
    const exact = header.flatMap((column, at) => (column === name ? [at] : []));
    const found =
      exact.length > 0 ? exact : header.flatMap((column, at) => (plain(column) === plain(name) ? [at] : []));
    if (found.length > 1) {
      const same = found.map((at) => header[at] as string);
      throw new ClipError("invalid-dataset", `expected one column ${name}, got ${found.length}: ${list(same)}`);
    }
    if (found.length === 1) return found[0] as number;
  }
  const got = list(header) || "no columns";
  throw new ClipError("invalid-dataset", `expected a column ${names.join(" or ").slice(0, 200)}, got ${got}`);
}

/** @throws ClipError `invalid-dataset` for a header that lacks one, has two of that name, or one for both */
export function findColumns(header: readonly string[], { imageColumn, captionColumn }: TableColumns): Columns {
  const image = findColumn(header, imageColumn, IMAGE_COLUMNS);
  const caption = findColumn(header, captionColumn, CAPTION_COLUMNS);
  if (image !== caption) return { image, caption };
  const got = `${list([header[image] as string])} for both`;
  throw new ClipError("invalid-dataset", `expected a column of pictures and one of captions, got ${got}`);
}
