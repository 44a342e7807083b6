/** Stands for `disk.node.ts` in browsers, which have no access to paths. */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";

/** A file in a folder or below. */
export interface DiskFile {
  /** Path from the folder on, with `/`. */
  path: string;
  /** Path that opens it. */
  location: string;
}

const noDisk = (path: string) =>
  new ClipError("invalid-source", `a browser cannot open the path ${excerpt(path)}: pass picked files or an address`);

/** Lists the files of a folder and below. */
// biome-ignore lint/correctness/useYield: it always throws
export async function* walkDisk(folder: string): AsyncGenerator<DiskFile, void, undefined> {
  throw noDisk(folder);
}

/** Streams a file. */
export function readDisk(path: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  throw noDisk(path);
}

/** Bytes of a file. */
export async function sizeOnDisk(path: string): Promise<number> {
  throw noDisk(path);
}

/** Reads a file, or a part of it. */
export async function readDiskBytes(path: string, _most?: number, _from?: number): Promise<Uint8Array<ArrayBuffer>> {
  throw noDisk(path);
}

/** Returns the spelling of a path that exists on disk. */
export async function spelledOnDisk(path: string): Promise<string> {
  return path;
}
