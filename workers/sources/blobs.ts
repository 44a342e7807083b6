/** Files that the page already holds: picked, dropped, or made of bytes. */

import { ClipError } from "../error.js";
import type { NamedFile } from "../protocol.js";
import type { Source, SourceFile } from "./source.js";

/** Bytes of a piece: few copies held at a time, few calls. */
const PIECE = 8 << 20;

/** A blob as a file. */
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

/** Bytes as a file. */
export function bytesFile(name: string, bytes: Uint8Array): SourceFile {
  return {
    name,
    size: bytes.length,
    async *stream(begin, end) {
      for (let at = begin; at < end; at += PIECE) yield bytes.subarray(at, Math.min(end, at + PIECE));
    },
  };
}

/** A list of files. Folders in their names do not count. */
export class FileListSource implements Source {
  readonly label = "the files given";
  readonly #files: Map<string, NamedFile["data"]>;

  constructor(files: readonly NamedFile[]) {
    this.#files = new Map(files.map(({ name, data }) => [name.slice(name.lastIndexOf("/") + 1), data]));
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async text(name: string): Promise<string | undefined> {
    const data = this.#files.get(name);
    if (data === undefined) return undefined;
    return data instanceof Blob ? data.text() : new TextDecoder().decode(data);
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const data = this.#files.get(name);
    if (data === undefined) return undefined;
    return data instanceof Blob ? blobFile(name, data) : bytesFile(name, data);
  }
}
