/** Loading: the request, its progress, and what is known about the model. */

import type { ClipConfig, PreprocessConfig, TokenizerReference, Towers } from "./config.js";

/** What a worker does; `train` can also encode, and has larger modules. */
export type Work = "encode" | "train";

/** Where a model computes. `auto` takes WebGPU on a hardware GPU, otherwise the CPU. */
export type DeviceChoice = "auto" | "webgpu" | "cpu";

/** The chosen device, and why. */
export interface DeviceInfo {
  /** Kind of device. */
  kind: "webgpu" | "cpu";
  /** For people: the adapter's name, or why the CPU was chosen. */
  reason: string;
  /** Threads of the CPU; more than one only on a cross-origin isolated page. */
  threads?: number;
  /** Bytes of the largest tensor that the GPU takes; larger token embeddings are split. */
  maxTensorBytes?: number;
}

/** A file with its name. */
export interface NamedFile {
  name: string;
  data: Blob | Uint8Array;
}

/** Name under which a caller's own transform is sent; it replaces the publisher's. */
export type OwnTransform = "preprocess.json";

/** Names of an adapter's files, as PEFT writes them. */
export type AdapterFile = "adapter_model.safetensors" | "adapter_config.json";

/** A checkpoint as it is sent to the worker: files, a server's folder or one file in it, or a path on disk. */
export type WireSource =
  | { kind: "files"; files: NamedFile[] }
  | {
      kind: "url";
      base: string;
      /** The only file to read, as the URL spells it. */
      file?: string;
      /** Query of every request, such as `?token=…`. */
      query?: string;
      /** The Hub id that the URL was made from. */
      hub?: string;
      /** The name that was resolved relative to the page. */
      relative?: string;
      /** URL of the Hub's list of files with their SHA-256. */
      sums?: string;
      headers: Record<string, string>;
      /** The origin that the caller's headers are for, if that is another one: they are not sent to this source. */
      headersOf?: string;
    }
  | { kind: "path"; path: string };

/** What to load, and how. */
export interface LoadRequest {
  source: WireSource;
  /** An adapter to add to the weights. */
  adapter?: WireSource;
  /** @default the publisher's */
  reference?: TokenizerReference;
  towers: Towers;
  /** `auto` keeps f16 weights if the device can compute with them; `f32` converts them; `q8` quantizes the blocks' matrices. */
  dtype: "auto" | "f32" | "q8";
  /** Bytes of the largest tensor. @default the GPU's limit */
  maxTensorBytes?: number;
  device: DeviceChoice;
  /** Whether downloads are cached; `refresh` downloads again what has changed. */
  cache: boolean | "refresh";
}

/** Progress of a load. */
export interface LoadProgress {
  /**
   * `download` into the cache, then `load` onto the device; without a cache, `load` alone. On a GPU, `compile` of its
   * pipelines follows, so that the first call does not wait for them.
   */
  phase: "download" | "load" | "compile";
  /** Bytes of this phase so far. */
  loadedBytes: number;
  /** Bytes of this phase in all. */
  totalBytes: number;
}

/** A cached model. */
export interface CachedModel {
  /** Address of the checkpoint. */
  url: string;
  /** Towers that are cached. */
  towers: Towers;
  /** Size of its files, in bytes. */
  bytes: number;
  /** When it was downloaded, in milliseconds since 1970. */
  time: number;
}

/** What is known about a model. */
export interface ModelInfo {
  /** Shape of the model. */
  config: ClipConfig;
  /** Where it computes. */
  device: DeviceInfo;
  /** Element type of the weights in memory. */
  dtype: "f32" | "f16" | "q8";
  /** `undefined` until a trainer knows its vocabulary. */
  preprocess?: PreprocessConfig;
  /** Warnings for the user, such as weights with NaN, or a full cache. */
  warnings: string[];
}
