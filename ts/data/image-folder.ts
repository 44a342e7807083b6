/** Reads a folder of images and their captions. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { checkOptions } from "../options/check.js";
import { type Schema, text } from "../options/rules.js";
import { FileIndex } from "./file-index.js";
import { composed, type Folder, type FolderFile, folderOf, inspectFile, listFolder, splitPath } from "./folder.js";
import { type NamedImages, readTables, tableAt, tablesIn } from "./folder-tables.js";
import { couldBeImage, formatOfExtension } from "./image-format.js";
import type { ImageTextPair } from "./pairs.js";
import { badSample, CAPTIONS, type CaptionOptions, isNotice, sampleOfText } from "./sample.js";
import type { Inspection } from "./sniff.js";
import { COLUMNS, type TableColumns } from "./table-columns.js";

/** How a folder is read. */
export interface ImageFolderOptions extends TableColumns, CaptionOptions {
  /**
   * Path, in the folder, of the only table to read; images that it does not name are left out.
   * @default metadata.csv, .tsv or .jsonl, or captions.csv, .tsv or .jsonl, of each folder that has one
   */
  table?: string;
}

const IMAGE_FOLDER = {
  ...COLUMNS,
  ...CAPTIONS,
  table: text("the path of a table in the folder"),
} satisfies Schema<ImageFolderOptions>;

/** Files whose first bytes are read concurrently. */
const CONCURRENCY = 32;

async function* inspectAll(files: readonly FolderFile[]): AsyncGenerator<[FolderFile, Inspection], void, undefined> {
  for (let at = 0; at < files.length; at += CONCURRENCY) {
    const some = files.slice(at, at + CONCURRENCY);
    const inspection = await Promise.all(some.map(inspectFile));
    for (const [i, file] of some.entries()) yield [file, inspection[i] as Inspection];
  }
}

function noImages(files: readonly FolderFile[]): ClipError {
  const some = files.slice(0, 3).map(({ path }) => path.slice(0, 60));
  const names = files.length > 0 ? `: ${some.join(", ")}${files.length > 3 ? ", …" : ""}` : "";
  return new ClipError("invalid-dataset", `no images among the folder's ${files.length} files${names}`);
}

const isText = ({ path }: FolderFile) => splitPath(path)[1] === "txt";
const couldBe = ({ path }: FolderFile) => couldBeImage(splitPath(path)[1]);
const stemOf = ({ path }: FolderFile) => composed(splitPath(path)[0]);

/** Stems that several images share: their keys include the extension. */
function sharedStems(files: readonly FolderFile[]): ReadonlySet<string> {
  const [seen, shared] = [new Set<string>(), new Set<string>()];
  for (const file of files.filter(({ path }) => formatOfExtension(splitPath(path)[1]))) {
    (seen.has(stemOf(file)) ? shared : seen).add(stemOf(file));
  }
  return shared;
}

async function ofCaption(
  key: string,
  image: FolderFile,
  caption: FolderFile,
  options: CaptionOptions,
): Promise<ImageTextPair> {
  try {
    return sampleOfText(key, await image.image(), await caption.bytes(), options);
  } catch (error) {
    return badSample(key, toClipError(error).message);
  }
}

/** Reads the images that no table names, with the caption files beside them; then the caption files that are left over. */
async function* readBeside(
  files: readonly FolderFile[],
  tables: readonly FolderFile[],
  named: NamedImages,
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const texts = files.filter(isText);
  const index = new FileIndex(texts);
  // of two whose extensions differ in case, the first; the other is left over
  const captions = new Map(texts.toReversed().map((file) => [stemOf(file), file]));
  const used = new Set<FolderFile>();
  const tableFor = ({ path }: FolderFile) => tables.find((table) => path.startsWith(folderOf(table.path)));
  const candidates = files.filter((file) => couldBe(file) && !named.has(file));
  const shared = sharedStems(candidates);
  let images = named.size;

  for await (const [file, { isImage, problem }] of inspectAll(candidates)) {
    if (!isImage) continue;
    images++;
    // a.jpg.txt is a caption of a.jpg, too; and a name without extension may have a dot
    const caption = captions.get(stemOf(file)) ?? captions.get(composed(file.path));
    const [stem, extension] = splitPath(file.path);
    const own = formatOfExtension(extension) || captions.get(stemOf(file)) ? stem : file.path;
    const key = shared.has(stemOf(file)) ? file.path : own;
    const table = tableFor(file);
    if (caption) used.add(caption);
    if (problem) yield badSample(key, `${file.path}: ${problem}`);
    else if (caption) yield await ofCaption(key, file, caption, options);
    else if (table) yield badSample(key, `no row for ${file.path} in ${table.path}`);
    else yield badSample(key, `no caption for ${file.path}: ${own}.txt is missing${index.hint(`${own}.txt`)}`);
  }

  if (images === 0) throw noImages(files);
  const orphans = texts.filter((file) => !used.has(file) && !tableFor(file) && !isNotice(file.path));
  const beside = new Map(orphans.map((file): [string, string[]] => [stemOf(file), []]));
  for (const file of files) beside.get(stemOf(file))?.push(file.path);
  for (const left of orphans) {
    const others = (beside.get(stemOf(left)) ?? []).filter((path) => path !== left.path);
    const only = others.length > 0 ? `, only ${others.join(", ").slice(0, 200)}` : "";
    yield badSample(splitPath(left.path)[0], `no image for the caption ${left.path}${only}`);
  }
}

/** Reads it for `imageFolder` of `datasets.ts`. */
export async function* imageFolder(
  folder: Folder,
  options: ImageFolderOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const given = checkOptions("imageFolder()", options, IMAGE_FOLDER);
  const files = await listFolder(folder);
  if (!files.some(couldBe)) throw noImages(files);
  const tables = given.table === undefined ? tablesIn(files) : [tableAt(files, given.table)];
  const named: NamedImages = new Map();
  yield* readTables(tables, files, named, given);
  // with a table of the caller's choice, other images may belong to another split
  if (given.table === undefined) yield* readBeside(files, tables, named, given);
}
