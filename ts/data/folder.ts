/** The files of a folder, wherever it is: on disk, picked as a handle, picked as files. */

import { readDiskBytes, walkDisk } from "#disk";
import { isFile, isFolderHandle } from "../../workers/protocol/bytes.js";
import { ClipError, toClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { entriesOf } from "../inputs/sources.js";
import { describeType } from "../options/describe.js";
import { couldBeImage, formatOfExtension, HEAD_BYTES } from "./image-format.js";
import { type Inspection, inspect } from "./sniff.js";

/** A folder with pairs: its path in Node, one that was picked, or the files of `<input webkitdirectory>`. */
export type Folder = string | FileSystemDirectoryHandle | Iterable<File>;

/** A file in a folder. */
export interface FolderFile {
  /** From the folder on, with `/`. */
  path: string;
  /** As `fit` takes it. */
  image(): Promise<ImageInput>;
  bytes(): Promise<Uint8Array>;
  /** Its first bytes, which tell what it is. */
  head(): Promise<Uint8Array>;
}

/** Path without extension, and extension in lower case. */
export function splitPath(path: string): [stem: string, extension: string] {
  const dot = path.lastIndexOf(".");
  return dot > path.lastIndexOf("/") ? [path.slice(0, dot), path.slice(dot + 1).toLowerCase()] : [path, ""];
}

/** The folder of a path, with its slash. */
export const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);

/** A path as names are compared: macOS takes names apart (NFD), most that is typed is put together (NFC). */
export const composed = (path: string) => path.normalize("NFC");

const wholeOf = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());
const headOf = (blob: Blob) => wholeOf(blob.slice(0, HEAD_BYTES));

const ofBlob = (path: string, blob: Blob): FolderFile => ({
  path,
  image: async () => blob,
  bytes: () => wholeOf(blob),
  head: () => headOf(blob),
});

const ofDisk = ({ path, location }: { path: string; location: string }): FolderFile => ({
  path,
  image: async () => location,
  bytes: () => readDiskBytes(location),
  head: () => readDiskBytes(location, HEAD_BYTES),
});

async function* walkHandle(folder: FileSystemDirectoryHandle, prefix: string): AsyncGenerator<FolderFile> {
  for await (const entry of entriesOf(folder)) {
    const path = `${prefix}${entry.name}`;
    if (entry.kind === "directory") yield* walkHandle(entry as FileSystemDirectoryHandle, `${path}/`);
    else {
      const file = entry as FileSystemFileHandle;
      yield {
        path,
        image: () => file.getFile(),
        bytes: async () => wholeOf(await file.getFile()),
        head: async () => headOf(await file.getFile()),
      };
    }
  }
}

/** The files of a picked folder come with its own name before theirs. */
function ofPicked(files: readonly File[]): FolderFile[] {
  const paths = files.map((file) => file.webkitRelativePath || file.name);
  const root = paths[0]?.slice(0, paths[0].indexOf("/") + 1) ?? "";
  const inside = root !== "" && paths.every((path) => path.startsWith(root));
  return files.map((file, i) => ofBlob((paths[i] as string).slice(inside ? root.length : 0), file));
}

/** All files of a folder and of those in it, in the order of their paths, which is the same each time. */
export async function listFolder(folder: Folder): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  if (typeof folder === "string" && folder !== "") for await (const file of walkDisk(folder)) files.push(ofDisk(file));
  else if (isFolderHandle(folder)) {
    for await (const file of walkHandle(folder, "")) files.push(file);
  } else if (typeof folder === "object" && folder !== null && Symbol.iterator in folder) {
    const list = [...folder];
    if (list.every(isFile)) files.push(...ofPicked(list));
    else throw new ClipError("invalid-source", `expected files, got ${describeType(list)}`);
  } else {
    throw new ClipError("invalid-source", `expected a folder's path, handle or files, got ${describeType(folder)}`);
  }
  const hidden = (path: string) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
  return files.filter(({ path }) => !hidden(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Whether a file is a picture. What by its extension is something else is not looked into, so that a folder of many files
 * is read in little time; of others the first bytes are.
 */
export async function inspectFile(file: FolderFile): Promise<Inspection> {
  const [, extension] = splitPath(file.path);
  if (!couldBeImage(extension)) return { picture: false };
  try {
    return inspect(await file.head(), extension);
  } catch (error) {
    return { picture: formatOfExtension(extension) !== undefined, problem: toClipError(error).message };
  }
}
