import type { WasmBinary } from "../runtime/wasm.js";
import type { Folder } from "../storage/folder.js";
import type { Source } from "./sources/source.js";

/** What loading needs from the platform, a browser or Node. */
export interface LoadingPlatform {
  /** Returns the module for tokenizers other than CLIP's. */
  tokenizers(): Promise<WasmBinary>;
  /** Returns the merges of CLIP's published vocabulary, one a line. */
  merges(): Promise<string>;
  /** Opens the cache's folder; `undefined` if the platform has none. */
  cacheFolder(): Promise<Folder | undefined>;
  /** Checkpoints on disk; only Node has it. */
  disk?: {
    /** Opens a folder or a file; throws if it does not exist. */
    source(path: string): Promise<Source>;
    /** Opens a folder; `undefined` if it does not exist. */
    folder(path: string): Promise<Source | undefined>;
  };
  /** Reads a file on disk; only Node has it. */
  readPath?(path: string): Promise<Uint8Array>;
}
