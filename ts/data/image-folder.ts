/** A folder of pictures with their captions. */

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
   * Path in the folder of the one table with the captions: pictures that it does not name are left out.
   * @default metadata.csv, .tsv or .jsonl, or captions, in each folder that has one
   */
  table?: string;
}

const IMAGE_FOLDER = {
  ...COLUMNS,
  ...CAPTIONS,
  table: text("the path of a table in the folder"),
} satisfies Schema<ImageFolderOptions>;

/** Files whose first bytes are read at the same time. */
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
  return new ClipError(
    "invalid-dataset",
    `expected a folder with pictures, got ${files.length} files and none${names}`,
  );
}

const isText = ({ path }: FolderFile) => splitPath(path)[1] === "txt";
const couldBe = ({ path }: FolderFile) => couldBeImage(splitPath(path)[1]);
const stemOf = ({ path }: FolderFile) => composed(splitPath(path)[0]);

/** Stems that several pictures share: their keys have the extension, too. */
function sharedStems(files: readonly FolderFile[]): ReadonlySet<string> {
  const [seen, shared] = [new Set<string>(), new Set<string>()];
  for (const file of files.filter(({ path }) => formatOfExtension(splitPath(path)[1]))) {
    (seen.has(stemOf(file)) ? shared : seen).add(stemOf(file));
  }
  return shared;
}

async function ofCaption(
  key: string,
  picture: FolderFile,
  caption: FolderFile,
  options: CaptionOptions,
): Promise<ImageTextPair> {
  try {
    return sampleOfText(key, await picture.image(), await caption.bytes(), options);
  } catch (error) {
    return badSample(key, toClipError(error).message);
  }
}

/** The pictures that no table names, with the captions beside them; then the captions that are left over. */
async function* readBeside(
  files: readonly FolderFile[],
  tables: readonly FolderFile[],
  named: NamedImages,
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const texts = files.filter(isText);
  const index = new FileIndex(texts);
  // of two that differ in the capitals of their extension, the first; the other is left over
  const captions = new Map(texts.toReversed().map((file) => [stemOf(file), file]));
  const used = new Set<FolderFile>();
  const tableFor = ({ path }: FolderFile) => tables.find((table) => path.startsWith(folderOf(table.path)));
  const candidates = files.filter((file) => couldBe(file) && !named.has(file));
  const shared = sharedStems(candidates);
  let pictures = named.size;

  for await (const [file, { picture, problem }] of inspectAll(candidates)) {
    if (!picture) continue;
    pictures++;
    // a.jpg.txt is the caption of a.jpg, too, and a name without an extension may have a dot
    const caption = captions.get(stemOf(file)) ?? captions.get(composed(file.path));
    const [stem, extension] = splitPath(file.path);
    const own = formatOfExtension(extension) || captions.get(stemOf(file)) ? stem : file.path;
    const key = shared.has(stemOf(file)) ? file.path : own;
    const table = tableFor(file);
    if (caption) used.add(caption);
    if (problem) yield badSample(key, `${file.path}: ${problem}`);
    else if (caption) yield await ofCaption(key, file, caption, options);
    else if (table) yield badSample(key, `expected a row for ${file.path} in ${table.path}, got none`);
    else {
      const got = `got no such file${index.hint(`${own}.txt`)}`;
      yield badSample(key, `expected a caption for ${file.path} in ${own}.txt, ${got}`);
    }
  }

  if (pictures === 0) throw noImages(files);
  const orphans = texts.filter((file) => !used.has(file) && !tableFor(file) && !isNotice(file.path));
  const beside = new Map(orphans.map((file): [string, string[]] => [stemOf(file), []]));
  for (const file of files) beside.get(stemOf(file))?.push(file.path);
  for (const left of orphans) {
    const others = (beside.get(stemOf(left)) ?? []).filter((path) => path !== left.path);
    const got = others.length > 0 ? `only ${others.join(", ").slice(0, 200)}` : "no such file";
    yield badSample(splitPath(left.path)[0], `expected a picture for the caption ${left.path}, got ${got}`);
  }
}

/**
 * Reads the pairs of a folder and of those in it: each picture's caption from the `.txt` file of the same name beside it, or
 * from the nearest table (`metadata.csv`, as Hugging Face's ImageFolder has it). What is a picture is told by its first bytes,
 * whatever its name. The order is that of the paths, so that a run can be gone on with; rows of tables come first.
 *
 * Every picture and every caption is a pair, or one with an `error` that says what it lacks: `fit` stops at them, or goes
 * without them. Left out are hidden files, and captions that no picture has and that are named as notices are (README.txt).
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
  const options = checkOptions("imageFolder()", given, IMAGE_FOLDER);
  const files = await listFolder(folder);
  if (!files.some(couldBe)) throw noImages(files);
  const tables = options.table === undefined ? tablesIn(files) : [tableAt(files, options.table)];
  const named: NamedImages = new Map();
  yield* readTables(tables, files, named, options);
  // who names a table wants its pictures: others may be those of another split
  if (options.table === undefined) yield* readBeside(files, tables, named, options);
}
