/** Finds the columns of image names and captions in a table. */

import { ClipError } from "../../workers/protocol/error.js";
import { type Schema, text } from "../options/rules.js";

/** Which columns are read. Names match regardless of case, spaces, `-` and `_`. */
export interface TableColumns {
  /** Column of image names. @default the first of file_name, filepath, image, path, url */
  imageColumn?: string;
  /** Column of captions. @default the first of text, caption, title */
  captionColumn?: string;
  /** Separator of columns, 1 to 100 characters. @default that of a `sep=` line, else the one found in the header */
  separator?: string;
}

export const COLUMNS = {
  imageColumn: text("the name of a column"),
  captionColumn: text("the name of a column"),
  separator: {
    expected: "1 to 100 characters without quotes and line breaks",
    accepts: (value: unknown) => typeof value === "string" && /^[^"\r\n]{1,100}$/.test(value),
    text: true,
  },
} satisfies Schema<TableColumns>;

/** Indices of the two columns. */
export interface Columns {
  image: number;
  caption: number;
}

/** Names in img2dataset, OpenCLIP and Hugging Face's ImageFolder. */
const IMAGE_COLUMNS = ["file_name", "filepath", "image", "path", "url"];
const CAPTION_COLUMNS = ["text", "caption", "title"];

const normalized = (name: string) => name.toLowerCase().replace(/[\s_-]/g, "");

/** Lists values for a message, shortened. */
export const list = (values: readonly string[]): string =>
  values
    .slice(0, 10)
    .map((value) => JSON.stringify(value.slice(0, 40)))
    .join(", ")
    .slice(0, 200);

function findColumn(header: readonly string[], given: string | undefined, defaults: readonly string[]): number {
  const names = given === undefined ? defaults : [given];
  for (const name of names) {
    const exact = header.flatMap((column, at) => (column === name ? [at] : []));
    const found =
      exact.length > 0 ? exact : header.flatMap((column, at) => (normalized(column) === normalized(name) ? [at] : []));
    if (found.length > 1) {
      const same = found.map((at) => header[at] as string);
      throw new ClipError("invalid-dataset", `expected one column ${name}, got ${found.length}: ${list(same)}`);
    }
    if (found.length === 1) return found[0] as number;
  }
  const got = list(header) || "no columns";
  throw new ClipError("invalid-dataset", `expected a column ${names.join(" or ").slice(0, 200)}, got ${got}`);
}

/** @throws ClipError `invalid-dataset` for a header without one of them, with two of its name, or with one column for both */
export function findColumns(header: readonly string[], { imageColumn, captionColumn }: TableColumns): Columns {
  const image = findColumn(header, imageColumn, IMAGE_COLUMNS);
  const caption = findColumn(header, captionColumn, CAPTION_COLUMNS);
  if (image !== caption) return { image, caption };
  const got = `${list([header[image] as string])} for both`;
  throw new ClipError("invalid-dataset", `expected a column of image names and one of captions, got ${got}`);
}
