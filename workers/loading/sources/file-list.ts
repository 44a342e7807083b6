/** Files that the caller holds: picked, dropped, or made from bytes. */

import { isBlob } from "../../protocol/bytes.js";
import { ClipError } from "../../protocol/error.js";
import type { NamedFile } from "../../protocol/load.js";
import type { Source, SourceFile } from "./source.js";
import { readText } from "./text.js";

/** Bytes read at a time. */
const PIECE = 8 << 20;

function blobFile(name: string, blob: Blob): SourceFile {
  return {
    name,
    size: blob.size,
    async *stream(begin, end) {
      for (let at = begin; at < end; at += PIECE) {
        const piece = await blob.slice(at, Math.min(end, at + PIECE)).arrayBuffer();
        if (piece.byteLength === 0)
          throw new ClipError("source-unreadable", `${name}: expected ${end} bytes, got ${at}`);
        yield new Uint8Array(piece);
      }
    },
  };
}

function bytesFile(name: string, bytes: Uint8Array): SourceFile {
  return {
    name,
    size: bytes.length,
    async *stream(begin, end) {
      for (let at = begin; at < end; at += PIECE) yield bytes.subarray(at, Math.min(end, at + PIECE));
    },
  };
}

/** Returns the deepest folder that holds all paths, with a trailing slash; "" if there is none. */
function commonFolder(paths: readonly string[]): string {
  const [first = "", ...rest] = paths;
  let folder = first.slice(0, first.lastIndexOf("/") + 1);
  while (!rest.every((path) => path.startsWith(folder))) folder = folder.replace(/[^/]*\/$/, "");
  return folder;
}

/** A list of files as a folder. Paths are relative to the deepest folder that holds all of them. */
export class FileListSource implements Source {
  readonly label: string;
  readonly #files = new Map<string, NamedFile["data"]>();

  constructor(files: readonly NamedFile[]) {
    const folder = commonFolder(files.map(({ name }) => name));
    this.label = folder === "" ? "the files given" : folder.slice(0, -1);
    for (const { name, data } of files) {
      const path = name.slice(folder.length);
      if (this.#files.has(path)) {
        throw new ClipError("invalid-source", `two files are named ${name}: pass the files of one model`);
      }
      this.#files.set(path, data);
    }
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()].filter((path) => !path.includes("/"));
  }

  async tree(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async text(name: string): Promise<string | undefined> {
    const data = this.#files.get(name);
    if (data === undefined) return undefined;
    return readText(name, isBlob(data) ? new Uint8Array(await data.arrayBuffer()) : data);
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const data = this.#files.get(name);
    if (data === undefined) return undefined;
    return isBlob(data) ? blobFile(name, data) : bytesFile(name, data);
  }
}
