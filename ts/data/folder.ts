/** Lists the files of a folder: on disk, picked as a handle, or picked as files. */

import { readDiskBytes, sizeOnDisk, walkDisk } from "#disk";
import { isFile, isFolderHandle, readBlob } from "../../workers/protocol/bytes.js";
import { ClipError, isClipError, toClipError } from "../../workers/protocol/error.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import type { ImageInput } from "../inputs/images.js";
import { isAbsolute } from "../inputs/location.js";
import { entriesOf } from "../inputs/sources.js";
import { describeType } from "../options/describe.js";
import { couldBeImage, formatOfExtension, HEAD_BYTES } from "./image-format.js";
import { type Inspection, inspect } from "./sniff.js";

/** A folder: a picked directory handle, the files of `<input webkitdirectory>`, or in Node a path. */
export type Folder = string | PlatformClass<"FileSystemDirectoryHandle"> | Iterable<PlatformClass<"File">>;

/** A file that is read in parts. */
export interface SeekableFile {
  /** Bytes of the file. */
  readonly size: number;
  /** Reads the bytes from `start` to before `end`, which lie within the file; they are the caller's. */
  slice(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A file in a folder. */
export interface FolderFile {
  /** Path from the folder on, with `/`. */
  path: string;
  /** Returns it as `fit` takes it. */
  image(): Promise<ImageInput>;
  bytes(): Promise<Uint8Array>;
  /** Returns its first bytes, which tell the format. */
  head(): Promise<Uint8Array>;
  /** Opens it to read parts of it. */
  seek(): Promise<SeekableFile>;
}

/** Splits a path into the path without extension and the extension in lower case. */
export function splitPath(path: string): [stem: string, extension: string] {
  const dot = path.lastIndexOf(".");
  return dot > path.lastIndexOf("/") ? [path.slice(0, dot), path.slice(dot + 1).toLowerCase()] : [path, ""];
}

/** Returns the folder of a path, with a slash at its end. */
export const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);

/** Normalizes a path for comparison: macOS decomposes names (NFD), typed text is mostly composed (NFC). */
export const composed = (path: string) => path.normalize("NFC");

const headOf = (blob: Blob) => readBlob(blob.slice(0, HEAD_BYTES));

/** Reads parts of a file; its errors name the file, which may have been changed or deleted since it was found. */
const seekable = (
  path: string,
  size: number,
  read: (start: number, end: number) => Promise<Uint8Array<ArrayBuffer>>,
): SeekableFile => ({
  size,
  async slice(start, end) {
    const bytes = await read(start, end).catch((error: Error) => {
      throw isClipError(error)
        ? error
        : new ClipError("source-unreadable", `cannot read the file ${path}: ${error.message}`, { cause: error });
    });
    if (bytes.length === end - start) return bytes;
    throw new ClipError("source-unreadable", `the file ${path} became shorter while it was read`);
  },
});

const seekBlob = (path: string, blob: Blob): SeekableFile =>
  seekable(path, blob.size, (start, end) => readBlob(blob.slice(start, end)));

const ofBlob = (path: string, blob: Blob): FolderFile => ({
  path,
  image: async () => blob,
  bytes: () => readBlob(blob),
  head: () => headOf(blob),
  seek: async () => seekBlob(path, blob),
});

const ofDisk = ({ path, location }: { path: string; location: string }): FolderFile => ({
  path,
  // a file in the working directory may be named like an address
  image: async () => (isAbsolute(location) ? `./${location}` : location),
  bytes: () => readDiskBytes(location),
  head: () => readDiskBytes(location, HEAD_BYTES),
  seek: async () =>
    seekable(path, await sizeOnDisk(location), (start, end) => readDiskBytes(location, end - start, start)),
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
        bytes: async () => readBlob(await file.getFile()),
        head: async () => headOf(await file.getFile()),
        seek: async () => seekBlob(path, await file.getFile()),
      };
    }
  }
}

/** Removes the name of the picked folder, with which the paths of its files begin. */
function ofPicked(files: readonly File[]): FolderFile[] {
  const paths = files.map((file) => file.webkitRelativePath || file.name);
  const root = paths[0]?.slice(0, paths[0].indexOf("/") + 1) ?? "";
  const inside = root !== "" && paths.every((path) => path.startsWith(root));
  return files.map((file, i) => ofBlob((paths[i] as string).slice(inside ? root.length : 0), file));
}

/**
 * Lists the files of a folder and its subfolders, in the order of their paths. Hidden files are left out.
 *
 * @throws ClipError `invalid-source`, `source-unreadable`
 */
export async function listFolder(folder: Folder): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  if (typeof folder === "string" && folder !== "") for await (const file of walkDisk(folder)) files.push(ofDisk(file));
  else if (isFolderHandle(folder)) {
    for await (const file of walkHandle(folder, "")) files.push(file);
  } else if (typeof folder === "object" && folder !== null && Symbol.iterator in folder) {
    const list = [...folder];
    const other = list.findIndex((item) => !isFile(item));
    if (other !== -1) throw new ClipError("invalid-source", `expected File objects, got ${describeType(list[other])}`);
    files.push(...ofPicked(list));
  } else {
    throw new ClipError("invalid-source", `expected a folder's path, handle or files, got ${describeType(folder)}`);
  }
  const hidden = (path: string) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
  return files.filter(({ path }) => !hidden(path)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Inspects a file. The extension alone rules out other kinds of files, so that large folders are listed quickly. */
export async function inspectFile(file: FolderFile): Promise<Inspection> {
  const [, extension] = splitPath(file.path);
  if (!couldBeImage(extension)) return { isImage: false };
  try {
    return inspect(await file.head(), extension);
  } catch (error) {
    return { isImage: formatOfExtension(extension) !== undefined, problem: toClipError(error).message };
  }
}
