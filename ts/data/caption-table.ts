/** Tables that name a picture and its caption in each row: csv, tsv, and JSON line by line. */

import Papa from "papaparse";
import { isUrl } from "../../workers/bytes.js";
import { ClipError, isClipError } from "../../workers/error.js";
import { describe } from "../describe.js";
import type { ImageInput } from "../images.js";
import { locate } from "../location.js";
import { checked, type Schema, text } from "../options.js";
import { decodeText, ENCODING, type EncodingOptions } from "./decode-text.js";
import { finder } from "./file-index.js";
import { type Folder, listFolder } from "./files.js";
import type { ImageTextPair } from "./pairs.js";
import { nameOf, openReadable, type ReadableSource, readAll } from "./readable.js";
import { badSample, sample } from "./sample.js";

/** Which columns are read. */
export interface TableColumns {
  /** Column of the picture's name. @default the first of file_name, filepath, filename, image, path, url */
  imageColumn?: string;
  /** Column of the caption. @default the first of text, caption, title */
  captionColumn?: string;
  /** What stands between columns. @default a tab in `.tsv`, otherwise what the table looks like */
  separator?: string;
}

export const COLUMNS = {
  imageColumn: text("the name of a column"),
  captionColumn: text("the name of a column"),
  separator: text("what stands between columns"),
} satisfies Schema<TableColumns>;

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

/** A row that names a picture. */
interface Row {
  name: string;
  captions: string[];
}

type FindImage = (name: string) => ImageInput | undefined | Promise<ImageInput | undefined>;

/** As img2dataset, OpenCLIP and Hugging Face's ImageFolder call them. */
const IMAGE_COLUMNS = ["file_name", "filepath", "filename", "image", "path", "url"];
const CAPTION_COLUMNS = ["text", "caption", "title"];

function findColumn(header: readonly string[], wanted: string | undefined, usual: readonly string[]): number {
  const names = wanted === undefined ? usual : [wanted];
  const found = names.map((name) => header.indexOf(name)).find((at) => at !== -1);
  if (found !== undefined) return found;
  const got = header.map((name) => JSON.stringify(name.slice(0, 40))).join(", ");
  throw new ClipError("invalid-dataset", `expected a column ${names.join(" or ")}, got ${got || "no columns"}`);
}

function ofSeparated(text: string, columns: TableColumns, tabs: boolean): Row[] {
  const delimiter = columns.separator ?? (tabs ? "\t" : "");
  const { data, errors } = Papa.parse<string[]>(text, { delimiter, skipEmptyLines: "greedy" });
  const broken = errors.find(({ type }) => type === "Quotes");
  if (broken) {
    throw new ClipError(
      "invalid-dataset",
      `row ${(broken.row ?? 0) + 1}: expected whole quotes, got: ${broken.message}`,
    );
  }
  const header = (data[0] ?? []).map((name) => name.trim());
  const image = findColumn(header, columns.imageColumn, IMAGE_COLUMNS);
  const caption = findColumn(header, columns.captionColumn, CAPTION_COLUMNS);
  return data.slice(1).map((row) => {
    const text = row[caption]?.trim() ?? "";
    return { name: row[image]?.trim() ?? "", captions: text === "" ? [] : [text] };
  });
}

function ofJsonLines(text: string, columns: TableColumns): Row[] {
  const rows: Row[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch (error) {
      throw new ClipError("invalid-dataset", `line ${i + 1}: expected JSON, got: ${(error as Error).message}`);
    }
    if (typeof row !== "object" || row === null) {
      throw new ClipError("invalid-dataset", `line ${i + 1}: expected an object, got ${describe(row)}`);
    }
    const header = Object.keys(row);
    const at = (wanted: string | undefined, usual: readonly string[]): unknown =>
      Object.values(row)[findColumn(header, wanted, usual)];
    const captions = [at(columns.captionColumn, CAPTION_COLUMNS)].flat();
    const name = at(columns.imageColumn, IMAGE_COLUMNS);
    rows.push({
      name: typeof name === "string" ? name : "",
      captions: captions.filter((caption) => typeof caption === "string"),
    });
  }
  return rows;
}

/** The pairs of a table: the rows of one picture are captions of it. */
export async function* readTable(
  text: string,
  fileName: string,
  columns: TableColumns,
  find: FindImage,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const plain = text.replace(/^\ufeff/, "");
  const rows = /\.jsonl$/i.test(fileName)
    ? ofJsonLines(plain, columns)
    : ofSeparated(plain, columns, /\.tsv$/i.test(fileName));
  const captions = new Map<string, string[]>();
  for (const [i, row] of rows.entries()) {
    if (row.name === "") yield badSample(`row ${i + 1}`, "expected the name of a picture, got none");
    else captions.set(row.name, [...(captions.get(row.name) ?? []), ...row.captions]);
  }
  for (const [key, texts] of captions) {
    yield await ofRow(key, texts, find);
  }
}

async function ofRow(key: string, texts: readonly string[], find: FindImage): Promise<ImageTextPair> {
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

/** Pictures beside a table: at its address, or in its folder on disk. */
function beside(source: ReadableSource): FindImage {
  if (typeof source !== "string" && !isUrl(source)) return (name) => name;
  const place = locate(source);
  if ("address" in place) {
    return (name) => {
      if (!URL.canParse(name, place.address)) return undefined;
      const address = new URL(name, place.address);
      // whoever wrote a table on a server has no say over the files here
      return /^(https?|data|blob):$/.test(address.protocol) ? address : undefined;
    };
  }
  const folder = place.path.replace(/[^/\\]*$/, "");
  return (name) => (/^([a-z][a-z0-9+.-]+:|[/\\])/i.test(name) ? name : `${folder}${name}`);
}

/**
 * Reads the pairs of a csv, tsv or `.jsonl` table, which names a picture and a caption in each row. Several rows of the same
 * picture are several captions of it.
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
  const options = checked("captionTable()", given, CAPTION_TABLE);
  const { images } = options;
  const text = decodeText(await readAll(await openReadable(table)), options.encoding);
  let find: FindImage;
  if (images === undefined) find = beside(table);
  else find = typeof images === "function" ? images : finder(await listFolder(images));
  yield* readTable(text, (nameOf(table) ?? "").replace(/[?#].*$/, ""), options, find);
}
