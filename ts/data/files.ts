/** The files of a folder, wherever it is: on disk, picked as a handle, picked as files. */

import { readDisk, walkDisk } from "#disk";
import { isFile } from "../../workers/bytes.js";
import { ClipError } from "../../workers/error.js";
import { describe } from "../describe.js";
import type { ImageInput } from "../images.js";
import { entriesOf } from "../sources.js";
import { readAll } from "./readable.js";

/** A folder with pairs: its path in Node, one that was picked, or the files of `<input webkitdirectory>`. */
export type Folder = string | FileSystemDirectoryHandle | Iterable<File>;

/** A file in a folder. */
export interface FolderFile {
  /** From the folder on, with `/`. */
  path: string;
  /** As `fit` takes it. */
  image(): Promise<ImageInput>;
  bytes(): Promise<Uint8Array>;
}

const ofBlob = (path: string, blob: Blob): FolderFile => ({
  path,
  image: async () => blob,
  bytes: async () => new Uint8Array(await blob.arrayBuffer()),
});

const ofDisk = ({ path, location }: { path: string; location: string }): FolderFile => ({
  path,
  image: async () => location,
  bytes: () => readAll(readDisk(location)),
});

async function* walkHandle(folder: FileSystemDirectoryHandle, prefix: string): AsyncGenerator<FolderFile> {
  for await (const entry of entriesOf(folder)) {
    const path = `${prefix}${entry.name}`;
    if (entry.kind === "directory") yield* walkHandle(entry as FileSystemDirectoryHandle, `${path}/`);
    else {
      const file = entry as FileSystemFileHandle;
      yield { path, image: () => file.getFile(), bytes: async () => readAll((await file.getFile()).stream()) };
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
  else if (typeof folder === "object" && folder !== null && "kind" in folder) {
    for await (const file of walkHandle(folder, "")) files.push(file);
  } else if (typeof folder === "object" && folder !== null && Symbol.iterator in folder) {
    const list = [...folder];
    if (list.every(isFile)) files.push(...ofPicked(list));
    else throw new ClipError("invalid-source", `expected files, got ${describe(list)}`);
  } else {
    throw new ClipError("invalid-source", `expected a folder's path, handle or files, got ${describe(folder)}`);
  }
  const hidden = (path: string) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
  return files.filter(({ path }) => !hidden(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Finds pictures by their names among files; `beside` is the folder that the names begin in. */
export function finder(files: readonly FolderFile[], beside = ""): (name: string) => Promise<ImageInput> | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return (name) => byPath.get(`${beside}${name.replace(/^\.\//, "").replaceAll("\\", "/")}`)?.image();
}
