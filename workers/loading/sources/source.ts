/** Where a checkpoint's files come from: the same few questions to a server, a list of files, a folder. */

import type { LoadProgress } from "../../protocol/load.js";

/** A file whose bytes are read in order, from any place on. */
export interface SourceFile {
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** Bytes from `begin` to before `end`, in pieces as they come. Leaving the loop ends the transfer. */
  stream(begin: number, end: number): AsyncIterable<Uint8Array>;
}

/** What a source needs to be polite. */
export interface ReadContext {
  signal: AbortSignal;
  progress(event: LoadProgress): void;
  /** Tells the user of what is loaded all the same. */
  warn(warning: string): void;
}

/** A place with files in it. */
export interface Source {
  /** How messages call it. */
  readonly label: string;
  /** The one file of weights that was meant, where it was one. */
  readonly only?: string | undefined;
  /** Names of the files that lie in the place itself, where it can tell. */
  list(): Promise<string[] | undefined>;
  /** Paths of all files, those in folders below too, where the place can tell; what a model has no use for may be left out. */
  tree(): Promise<string[] | undefined>;
  /** Text of a small file, as `readText` reads it; nothing where there is no such file. */
  text(name: string): Promise<string | undefined>;
  /** A large file; nothing where there is no such file. */
  open(name: string): Promise<SourceFile | undefined>;
}

/** Bytes of a file in memory. */
export async function readAll(file: SourceFile, begin = 0, end = file.size): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  let filled = 0;
  for await (const piece of file.stream(begin, end)) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}
