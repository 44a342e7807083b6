/**
 * Names of clip-retrieval's files, as its writer gives them:
 * <https://github.com/rom1504/clip-retrieval/blob/main/clip_retrieval/clip_inference/writer.py>.
 */

import { ClipError } from "../../workers/protocol/error.js";
import type { FolderFile } from "../data/folder.js";

/** Whose embeddings: of images or of texts. */
type Embedded = "image" | "text";

/** Folder of the embeddings, and beginning of their names. */
const FOLDERS = { image: "img_emb", text: "text_emb" } as const;

/** Embeddings of some rows, and the table of what is known of them. */
export interface Shard<T> {
  vectors: T;
  table: T;
}

/** Names the files of the shard `number` of `count`, with as many digits as the count has, so that they sort. */
export function shardPaths(number: number, count: number): Shard<string> {
  const digits = `${number}`.padStart(`${count}`.length, "0");
  return { vectors: `img_emb/img_emb_${digits}.npy`, table: `metadata/metadata_${digits}.parquet` };
}

const invalid = (problem: string) => new ClipError("invalid-dataset", problem);

/** Collects the files of one kind by their numbers; refuses those of other names, which may be parts of the whole. */
function byNumber(files: readonly FolderFile[], name: string, extension: string): Map<number, FolderFile> {
  const found = new Map<number, FolderFile>();
  for (const file of files) {
    if (!file.path.startsWith(`${name}/`) || !file.path.endsWith(extension)) continue;
    const digits = file.path.slice(name.length * 2 + 2, -extension.length);
    if (!file.path.startsWith(`${name}/${name}_`) || !/^\d{1,15}$/.test(digits))
      throw invalid(`${file.path}: expected a name such as ${name}/${name}_0${extension}`);
    const other = found.get(Number(digits));
    if (other) throw invalid(`${file.path}: it has the number of ${other.path}`);
    found.set(Number(digits), file);
  }
  return found;
}

/** Says where the files are if not in the folder itself. */
function hint(files: readonly FolderFile[], name: string): string {
  const below = files.find(({ path }) => path.includes(`/${name}/`) && path.endsWith(".npy"));
  if (below) return `: pass its folder ${below.path.slice(0, below.path.indexOf(`/${name}/`))}`;
  const other = (["image", "text"] as const).find((kind) => files.some(({ path }) => path.startsWith(FOLDERS[kind])));
  return other ? `, but ${FOLDERS[other]}: pass { embeddings: "${other}" }` : "";
}

/**
 * Pairs the files of a folder by their numbers, in the order of these.
 *
 * @throws ClipError `invalid-dataset` for files without their counterpart, and for foreign names
 */
export function pairShards(files: readonly FolderFile[], embedded: Embedded): Shard<FolderFile>[] {
  const name = FOLDERS[embedded];
  const vectors = byNumber(files, name, ".npy");
  const tables = byNumber(files, "metadata", ".parquet");
  if (vectors.size === 0) throw invalid(`the folder has no ${name}/${name}_0.npy${hint(files, name)}`);
  for (const [number, { path }] of tables)
    if (!vectors.has(number)) throw invalid(`${path}: there is no ${name}/*_${number}.npy beside it`);
  return [...vectors]
    .sort(([one], [other]) => one - other)
    .map(([number, file]) => {
      const table = tables.get(number);
      if (!table) throw invalid(`${file.path}: there is no metadata/*_${number}.parquet beside it`);
      return { vectors: file, table };
    });
}
