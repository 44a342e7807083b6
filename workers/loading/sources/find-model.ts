/** Finds the one model in a folder of folders. */

import { ClipError } from "../../protocol/error.js";
import type { AdapterFile } from "../../protocol/load.js";
import { FileListSource } from "./file-list.js";
import { clipFolder } from "./sentence-transformers.js";
import type { Source } from "./source.js";
import { folderOf, nameOf, subfolder } from "./subfolder.js";

/** Folders that a message names. */
const MAX_NAMED = 8;

const ADAPTER: AdapterFile = "adapter_model.safetensors";

/** Whether a file holds the weights of a model, or the index of its shards. */
export const isWeights = (name: string) => /\.safetensors(\.index\.json)?$/.test(name) && name !== ADAPTER;

/** Whether a file holds the weights of an adapter. */
export const isAdapter = (name: string) => name === ADAPTER;

/** Whether a file belongs to a model whose weights are missing, or in a format that is not read. */
const isModelFile = (name: string) => /^(open_clip_)?config\.json$|\.(bin|pt|pth|ckpt)$/.test(name);

function enumerate(folders: readonly string[]): string {
  const more = folders.length > MAX_NAMED ? ` and ${folders.length - MAX_NAMED} more` : "";
  return folders.slice(0, MAX_NAMED).join(", ") + more;
}

/**
 * Returns the source itself if it directly holds the wanted file, otherwise its only subfolder that does; for
 * sentence-transformers the subfolder that `modules.json` names.
 *
 * @param warn is told of models in subfolders of picked files that are ignored
 * @throws ClipError `invalid-source` naming the subfolders if several hold one
 */
export async function findModel(
  source: Source,
  isWanted: (name: string) => boolean,
  warn?: (warning: string) => void,
): Promise<Source> {
  if (source.only !== undefined) return source;
  const modules = isWanted === isWeights ? await source.text("modules.json") : undefined;
  if (modules !== undefined) return subfolder(source, clipFolder(modules));
  const names = await source.list();
  const isHere = names?.some(isWanted);
  // a server cannot list its files; a folder on disk was named by its path, so its subfolders are not searched
  if (names === undefined || (isHere && !(source instanceof FileListSource))) return source;
  const paths = (await source.tree()) ?? [];
  const foldersWith = (is: (name: string) => boolean) =>
    [...new Set(paths.filter((path) => is(nameOf(path))).map(folderOf))].sort();
  const folders = foldersWith(isWanted);
  if (isHere) {
    const below = folders.filter((folder) => folder !== "");
    if (below.length > 0)
      warn?.(`loaded the model of ${source.label}, not those in its subfolders: ${enumerate(below)}`);
    return source;
  }
  if (folders.length > 1) {
    throw new ClipError(
      "invalid-source",
      `${source.label}: expected the files of one model, got ${folders.length} folders with weights: ${enumerate(folders)}; give one of them`,
    );
  }
  // no weights: the folder of the other files, so that the error lists what it lacks
  const [folder = ""] = folders.length === 1 ? folders : foldersWith(isModelFile);
  return subfolder(source, folder);
}
