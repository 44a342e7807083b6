/** Everything a worker can be asked for. Types only: what crosses the border between a page (or Node) and the worker. */

import type { CheckpointLayout } from "./config.js";
import type { EncodedImages, Logits, Matrix, NamedImage, TextMatrix } from "./encode.js";
import type { CachedModel, DeviceChoice, LoadProgress, LoadRequest, ModelInfo } from "./load.js";
import type {
  Adapter,
  CreateRequest,
  Evaluation,
  FitSettings,
  GradientResult,
  PairsHandle,
  PushOptions,
  SkippedPair,
  StepEvent,
  WirePair,
} from "./train.js";

/** A file of an export. */
export interface ExportedFile {
  name: string;
  data: Uint8Array;
}

/** Bytes that the worker and its module hold. */
export interface MemoryInfo {
  /** Linear memory of the Wasm module; it never shrinks. On the CPU it holds the tensors too. */
  wasmBytes: number;
  /** What the GPU's allocator holds, buffers kept for reuse included. */
  gpuBytes?: number;
}

/** Everything a worker can be asked for. Calls are answered one after another, in order. */
export interface ClipWorkerApi {
  load(request: LoadRequest, onProgress?: (progress: LoadProgress) => void): Promise<ModelInfo>;
  /** Ends a load under way, at once. */
  abortLoad(): void;
  cachedModels(): Promise<CachedModel[]>;
  /** Forgets the models of an address, or all; returns how many there were. */
  deleteCached(url?: string): Promise<number>;
  create(request: CreateRequest): Promise<ModelInfo>;
  /** Turns the loaded model into one that learns. */
  train(): Promise<ModelInfo>;
  info(): Promise<ModelInfo>;
  memory(): Promise<MemoryInfo>;

  /** With `skip`, those that cannot be read are left out, where the first of them would be an error. */
  encodeImage(images: NamedImage[], skip: boolean): Promise<EncodedImages>;
  encodeText(texts: string[], truncate: boolean): Promise<TextMatrix>;
  /** One embedding a label: the mean of its `perLabel` captions, which stand together. */
  encodeLabels(captions: string[], perLabel: number, truncate: boolean): Promise<TextMatrix>;
  encodePixels(pixels: Float32Array): Promise<Matrix>;
  encodeIds(ids: Int32Array): Promise<Matrix>;
  tokenize(texts: string[], truncate: boolean): Promise<Int32Array>;
  preprocess(images: NamedImage[]): Promise<Float32Array>;
  /** Logits of embeddings, `[images, texts]`, and the probabilities that follow from them. */
  logits(images: Float32Array, texts: Float32Array): Promise<Logits>;
  /** Logistic regression on embeddings: a row a class, the bias last. */
  fitProbe(features: Matrix, classes: Uint32Array, classCount: number, c: number): Promise<Matrix>;
  /** What such rows say of embeddings, images by classes. */
  probeProbabilities(weights: Matrix, features: Matrix): Promise<Float32Array>;
  save(layout: CheckpointLayout): Promise<Uint8Array>;
  exportFiles(layout: CheckpointLayout): Promise<ExportedFile[]>;

  /** For pairs that the model is judged by. */
  openPairs(): Promise<PairsHandle>;
  /**
   * For the pairs of a run with these settings, or without them of the run that was stopped. Refuses settings that no data
   * could make right, before any is sent.
   */
  openRunPairs(settings: FitSettings | undefined): Promise<PairsHandle>;
  /** Adds pairs; gives back those that it skipped, which it does only where it may. */
  pushPairs(handle: PairsHandle, pairs: WirePair[], options: PushOptions): Promise<SkippedPair[]>;
  closePairs(handle: PairsHandle): Promise<void>;
  /** Starts a run, or without settings goes on with the one that was stopped; it takes the pairs over. */
  startFit(handle: PairsHandle, settings: FitSettings | undefined): Promise<void>;
  /** Nothing after the last step. */
  stepFit(): Promise<StepEvent | undefined>;
  stopFit(): Promise<void>;
  /** Everything that training goes on from; written to `path` where there is one, given back otherwise. */
  saveState(path?: string): Promise<Uint8Array | undefined>;
  /** Adds the same to a folder and removes all but the last `keep`. */
  keepState(folder: string, keep: number): Promise<void>;
  /** The adapters that were trained last. */
  saveAdapter(): Promise<Adapter>;
  /** A trainer from what `saveState` wrote, or from the newest whole one in a folder. */
  resume(state: Uint8Array | string, device: DeviceChoice): Promise<ModelInfo>;
  evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation>;
  /** Embeddings of the pairs' images. */
  embedPairImages(pairs: PairsHandle): Promise<Matrix>;
  gradients(pixels: Float32Array, ids: Int32Array, layout: CheckpointLayout): Promise<GradientResult>;
  stepOn(pixels: Float32Array, ids: Int32Array, lr: number): Promise<number>;
}
