/**
 * The calls that a worker answers. Types only: what crosses the border between a page (or Node) and the worker.
 *
 * Types named `Wire…` are forms in which a caller's value is sent.
 */

import type { WireAddresses } from "./addresses.js";
import type { OwnBytes } from "./bytes.js";
import type { CheckpointLayout } from "./config.js";
import type { EncodedImages, EncodedTexts, Logits, Matrix, NamedImage } from "./encode.js";
import type { CachedModel, DeviceChoice, LoadProgress, LoadRequest, ModelInfo } from "./load.js";
import type {
  Adapter,
  CreateRequest,
  Evaluation,
  GradientResult,
  PairsHandle,
  PushOptions,
  SkippedPair,
  StepEvent,
  WirePair,
} from "./train.js";

/** A file of an export. */
export interface ExportedFile {
  /** File name in the folder, or path from it on, with `/`. */
  name: string;
  /** Contents. */
  data: OwnBytes;
}

/** Memory of the worker, in bytes. */
export interface MemoryInfo {
  /** Linear memory of the Wasm module; it never shrinks. On the CPU it holds the tensors too. */
  wasmBytes: number;
  /** Memory of the GPU's allocator, including buffers kept for reuse. */
  gpuBytes?: number;
}

/** Calls that load a model, and ask about it. */
export interface LoadingApi {
  /** Sets where the package's files lie; called before any other. */
  locate(addresses: WireAddresses): void;
  load(request: LoadRequest, onProgress?: (progress: LoadProgress) => void): Promise<ModelInfo>;
  /** Aborts the load that is going on. */
  abortLoad(): void;
  info(): Promise<ModelInfo>;
  memory(): Promise<MemoryInfo>;
  cachedModels(): Promise<CachedModel[]>;
  /** Deletes the cached models of a URL, or all; returns how many there were. */
  deleteCached(url?: string): Promise<number>;
}

/** Calls that encode. Embeddings have length one. */
export interface EncodingApi {
  /** Embeds images; with `skip`, those that cannot be read are left out instead of throwing. */
  encodeImage(images: NamedImage[], skip: boolean): Promise<EncodedImages>;
  /** Embeds texts. */
  encodeText(texts: string[], truncate: boolean): Promise<EncodedTexts>;
  /** Embeds labels: each is the mean of `perLabel` consecutive captions. */
  encodeLabels(captions: string[], perLabel: number, truncate: boolean): Promise<EncodedTexts>;
  /** Embeds pixels, `[images, 3, size, size]`. */
  encodePixels(pixels: Float32Array): Promise<Matrix>;
  /** Embeds token ids, `[texts, contextLength]`. */
  encodeIds(ids: Int32Array): Promise<Matrix>;
  /** Returns token ids, `[texts, contextLength]`. */
  tokenize(texts: string[], truncate: boolean): Promise<Int32Array>;
  /** Returns normalised pixels, `[images, 3, size, size]`. */
  preprocess(images: NamedImage[]): Promise<Float32Array>;
  /** Compares embeddings of images with those of texts. */
  logits(images: Float32Array, texts: Float32Array): Promise<Logits>;
}

/** Calls of the linear probe. */
export interface ProbeApi {
  /** Fits a logistic regression; returns one class a row, the bias in the last column. */
  fitProbe(features: Matrix, classes: Uint32Array, classCount: number, c: number): Promise<Matrix>;
  /** Returns probabilities, `[features, classes]`. */
  probeProbabilities(weights: Matrix, features: Matrix): Promise<Float32Array>;
}

/** Calls that save the model. */
export interface SavingApi {
  /** Returns the model as one safetensors file. */
  save(layout: CheckpointLayout): Promise<OwnBytes>;
  /** Returns the model as the folder that `transformers` or `open_clip` loads. */
  exportFiles(layout: CheckpointLayout): Promise<ExportedFile[]>;
}

/** Calls that make a trainer, and save it. */
export interface TrainerApi {
  /** Makes a trainer with random weights. */
  create(request: CreateRequest): Promise<ModelInfo>;
  /** Turns the loaded model into a trainer. */
  train(): Promise<ModelInfo>;
  /** Makes a trainer from the bytes of a state, from its path, or from the newest undamaged state in a folder. */
  resume(state: Uint8Array | string, device: DeviceChoice): Promise<ModelInfo>;
  /** Returns the adapters that were trained last. */
  saveAdapter(): Promise<Adapter>;
  /** Writes the state of the training to `path`, or returns it without one. */
  saveState(path?: string): Promise<OwnBytes | undefined>;
  /** Adds the state of the training to a folder, and removes all but the last `keep` there. */
  keepState(folder: string, keep: number): Promise<void>;
}

/** Calls that train and evaluate. */
export interface TrainingApi {
  /** Opens a data set for evaluation. */
  openPairs(): Promise<PairsHandle>;
  /**
   * Opens a data set for a run with these settings, JSON of the options of `fit`; without settings, for the run that was stopped.
   * Checks the settings before pairs are sent.
   */
  openRunPairs(settings: string | undefined): Promise<PairsHandle>;
  /** Adds pairs to a data set; returns those that were skipped, which needs `options.skip`. */
  pushPairs(handle: PairsHandle, pairs: WirePair[], options: PushOptions): Promise<SkippedPair[]>;
  closePairs(handle: PairsHandle): Promise<void>;
  /** Starts a run, or without settings resumes the one that was stopped. Takes the data set over: its handle is closed. */
  startFit(handle: PairsHandle, settings: string | undefined): Promise<void>;
  /** Runs one step; `undefined` after the last. */
  stepFit(): Promise<StepEvent | undefined>;
  stopFit(): Promise<void>;
  evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation>;
  /** Embeds the images of a data set. */
  embedPairImages(pairs: PairsHandle): Promise<Matrix>;
  /** Returns the loss of a batch and its gradients, without a step. */
  gradients(pixels: Float32Array, ids: Int32Array, layout: CheckpointLayout): Promise<GradientResult>;
  /** Runs one step on a batch; returns its loss before the update. */
  stepOn(pixels: Float32Array, ids: Int32Array, lr: number): Promise<number>;
}

/** All calls of a worker that encodes. They are answered one after another, in order. */
export interface EncodingWorkerApi extends LoadingApi, EncodingApi, ProbeApi, SavingApi {}

/** All calls of a worker that trains, and encodes, too. */
export interface TrainingWorkerApi extends EncodingWorkerApi, TrainerApi, TrainingApi {}
