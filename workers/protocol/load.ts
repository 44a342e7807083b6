/** How a model is loaded: where from, onto which device, and what the worker says of it. */

import type { ClipConfig, PreprocessConfig, TokenizerReference, Towers } from "./config.js";

/** What a model is loaded for: what trains can encode as well, and takes a larger download. */
export type Work = "encode" | "train";

/** Where a model computes. `auto` takes WebGPU on a real GPU and the CPU otherwise. */
export type DeviceChoice = "auto" | "webgpu" | "cpu";

/** The device that was taken, and why. */
export interface DeviceInfo {
  kind: "webgpu" | "cpu";
  /** In words, for people: the adapter's name, or why there is none. */
  reason: string;
  /** Of the CPU: how many compute together; more than one on a page that is cross-origin isolated. */
  threads?: number;
  /** Bytes that one tensor may have on it; larger token tables are cut. */
  maxTensorBytes?: number;
}

/** A file by its name. */
export interface NamedFile {
  name: string;
  data: Blob | Uint8Array;
}

/** Name of the file in which a caller's own transform crosses: it goes before the publisher's. */
export type OwnTransform = "preprocess.json";

/** Names of an adapter's files: PEFT's. */
export type AdapterFile = "adapter_model.safetensors" | "adapter_config.json";

/** A checkpoint as it crosses the border: files, a server's folder or one file in it, a path on disk. */
export type WireSource =
  | { kind: "files"; files: NamedFile[] }
  | {
      kind: "url";
      base: string;
      file?: string;
      /** Goes with every request: `?token=…`. */
      query?: string;
      /** The Hub id that it was made of; or the name, where it was taken as one relative to the page. */
      hub?: string;
      relative?: string;
      /** Address of the Hub's list of files, which tells their SHA-256. */
      sums?: string;
      headers: Record<string, string>;
    }
  | { kind: "path"; path: string };

/** A model in the worker. */
export interface LoadRequest {
  source: WireSource;
  /** `train` for a model that `ClipWorkerApi.train` is asked to turn into one that learns. */
  work: Work;
  /** Added to the weights. */
  adapter?: WireSource;
  /** Left out: that of whoever published the checkpoint. */
  reference?: TokenizerReference;
  towers: Towers;
  /** `auto` keeps half precision as it is stored, where the device can; `f32` widens it; `q8` rounds the blocks' matrices. */
  dtype: "auto" | "f32" | "q8";
  /** Left out: the adapter's limit. */
  maxTensorBytes?: number;
  device: DeviceChoice;
  /** Whether what is downloaded is kept; `refresh` downloads it anew. */
  cache: boolean | "refresh";
}

/** How far a load is. */
export interface LoadProgress {
  /**
   * `download` into the cache, then `load` to the device; without a cache, `load` alone. On a GPU `compile` follows, when all bytes are
   * there: its pipelines, which the first call would wait for.
   */
  phase: "download" | "load" | "compile";
  loadedBytes: number;
  totalBytes: number;
}

/** A model that is kept. */
export interface CachedModel {
  url: string;
  towers: Towers;
  bytes: number;
  /** When it was first loaded, in milliseconds since 1970. */
  time: number;
}

/** What a worker says of its model. */
export interface ModelInfo {
  config: ClipConfig;
  device: DeviceInfo;
  /** Element type that the weights are kept in. */
  dtype: "f32" | "f16" | "q8";
  /** Nothing while a trainer's vocabulary is not known yet. */
  preprocess?: PreprocessConfig;
  /** What its user should know, in words: weights that are no numbers, a cache that is full. */
  warnings: string[];
}
