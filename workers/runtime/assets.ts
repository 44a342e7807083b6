import type { Source } from "../loading/sources/source.js";
import type { Spawned } from "../protocol/spawned.js";
import type { Place, Store } from "../storage/store.js";
import type { WasmAssets, WasmSource } from "./wasm.js";

/** What the platform must bring along. */
export interface Assets extends WasmAssets {
  /** The module for tokenizers that are not CLIP's. */
  tokenizers(): Promise<WasmSource>;
  /** Merges of the published vocabulary, one a line. */
  merges(): Promise<string>;
  /** Where models are kept; nothing where the platform has no such place. */
  store(): Promise<Store | undefined>;
  /** A folder for files that outlive the worker, made where it is not there: on disk, or in the origin's file system. */
  folder(path: string): Promise<Store>;
  /** Where a path among such files leads. */
  place(path: string): Promise<Place>;
  /** Checkpoints on disk, where there are disks: a folder or a file that must be there, and a folder that may. */
  disk?: { source(path: string): Promise<Source>; folder(path: string): Promise<Source | undefined> };
  /** A worker that makes images (`image-loader.ts`). */
  loader(): Spawned;
  /** Bytes of a file on disk, where there are disks. */
  readPath?(path: string): Promise<Uint8Array>;
}
