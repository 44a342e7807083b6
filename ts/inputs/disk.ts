/** Files on disk, of which a browser has none. */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";

/** A file somewhere in a folder. */
export interface DiskFile {
  /** From the folder on, with `/`. */
  path: string;
  /** Its path for the platform. */
  location: string;
}

const noDisk = (path: string) =>
  new ClipError("invalid-source", `expected what was picked, or an address, got the path ${excerpt(path)}`);

/** All files of a folder and of those in it. */
// biome-ignore lint/correctness/useYield: the platform has none
export async function* walkDisk(folder: string): AsyncGenerator<DiskFile, void, undefined> {
  throw noDisk(folder);
}

/** Bytes of a file. */
export function readDisk(path: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  throw noDisk(path);
}

/** A small file's bytes, or its first ones. */
export async function readDiskBytes(path: string, _most?: number): Promise<Uint8Array<ArrayBuffer>> {
  throw noDisk(path);
}

/** A path as the disk has it. */
export async function spelledOnDisk(path: string): Promise<string> {
  return path;
}
