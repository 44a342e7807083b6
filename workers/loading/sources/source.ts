/** Where the files of a checkpoint or an adapter come from: a server, a list of files, or a folder. */

import type { ClipError } from "../../protocol/error.js";
import type { LoadProgress } from "../../protocol/load.js";

/** A large file, read in order from any offset. */
export interface SourceFile {
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Reads the bytes `[begin, end)` in pieces of any size. Leaving the loop ends the transfer. */
  stream(begin: number, end: number): AsyncIterable<Uint8Array>;
}

/** How a source is cancelled, and where it reports to. */
export interface ReadContext {
  signal: AbortSignal;
  progress(event: LoadProgress): void;
  /** Reports a problem that does not stop the load. */
  warn(warning: string): void;
}

/** A folder of files. */
export interface Source {
  /** Its name in messages. */
  readonly label: string;
  /** Name of the weights file, if the caller named a file and not a folder. */
  readonly only?: string | undefined;
  /** Why a file that was not found may have been kept back, if the source answers so in place of "not found". */
  readonly refusal?: ClipError | undefined;
  /** Names of the files directly in the folder; `undefined` if the source cannot list them. */
  list(): Promise<string[] | undefined>;
  /** Paths of all files, subfolders included; `undefined` if the source cannot list them. May omit what no model needs. */
  tree(): Promise<string[] | undefined>;
  /** Reads a small file as text, decoded by `readText`; `undefined` if there is no such file. */
  text(name: string): Promise<string | undefined>;
  /** Opens a large file; `undefined` if there is no such file. */
  open(name: string): Promise<SourceFile | undefined>;
}

/** Reads the bytes `[begin, end)` of a file into memory. */
export async function readAll(file: SourceFile, begin = 0, end = file.size): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  let filled = 0;
  for await (const piece of file.stream(begin, end)) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}
