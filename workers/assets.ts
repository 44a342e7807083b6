import type { Store } from "./cache/store.js";
import type { Source } from "./sources/source.js";
import type { WasmSource } from "./wasm.js";

/** What the platform must bring along. */
export interface Assets {
  wasm(): Promise<WasmSource>;
  /** The module for tokenizers that are not CLIP's. */
  tokenizers(): Promise<WasmSource>;
  /** Merges of the published vocabulary, one a line. */
  merges(): Promise<string>;
  /** Where models are kept; nothing where the platform has no such place. */
  store(): Promise<Store | undefined>;
  /** A folder or file on disk, where there are disks. */
  folder?(path: string): Promise<Source>;
  /** Bytes of a file on disk, where there are disks. */
  readPath?(path: string): Promise<Uint8Array>;
  /** Writes a file on disk, whole or not at all, where there are disks. */
  writePath?(path: string, bytes: Uint8Array): Promise<void>;
}
