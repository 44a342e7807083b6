/** What crosses the border between a page (or Node) and the worker: types only, no code. */

import type { ClipErrorCode } from "./error.js";

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

/** Non-linearity of the MLPs: OpenAI's models use `quick_gelu`, newer ones `gelu`, SigLIP `gelu_tanh`. */
export type Activation = "quick_gelu" | "gelu" | "gelu_tanh";

/** What both towers have. */
export interface TowerConfig {
  /** Width of the residual stream. */
  width: number;
  layers: number;
  /** Attention heads; divides `width`. */
  heads: number;
  /** Width of the MLP's hidden layer. @default 4 × width */
  mlpWidth?: number;
  /** @default "quick_gelu" */
  activation?: Activation;
  /** @default 1e-5 */
  layerNormEps?: number;
}

/** A Vision Transformer: CLIP's, or SigLIP's without class token and with attention pooling. */
export interface VitConfig extends TowerConfig {
  /** @default "vit" */
  architecture?: "vit" | "siglip";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Side of a patch. */
  patchSize: number;
}

/** CLIP's ResNet. It encodes; it is not trained here. */
export interface ResNetConfig {
  architecture: "resnet";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Channels of the first stage. */
  width: number;
  /** Blocks of each stage. */
  layers: [number, number, number, number];
  /** Heads of the attention pooling. */
  heads: number;
}

/** MobileCLIP's image towers. They encode; they are not trained here. */
export interface MciConfig {
  architecture: "mci";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Blocks of each stage. */
  layers: number[];
  /** Channels of each stage. */
  widths: number[];
  /** Width of the MLPs over that of the stage. */
  mlpRatio: number;
  /** How many of the last stages attend. */
  attentionStages: number;
  /** How many of the last stages are entered by a squeeze-and-excite. */
  squeezeStages: number;
  /** Whether attention follows a layer norm, and not a batch norm. @default false */
  layerNorm?: boolean;
  /** Whether the stem has branches of one pixel. @default true */
  stemScale?: boolean;
}

/** Image tower. */
export type VisionConfig = VitConfig | ResNetConfig | MciConfig;

/** Text tower: a Transformer, causal in CLIP. */
export interface TextConfig extends TowerConfig {
  /** Tokens of a caption, start and end included. */
  contextLength: number;
  /** Left out: cut to the tokens of the captions of the first `fit`. Otherwise the size of the tokenizer's vocabulary. */
  vocabSize?: number;
  /**
   * Which token stands for the caption: the first of the highest id, the first of a given id, or the last of the
   * context. @default "argmax"
   */
  pooling?: "argmax" | "last" | { first_of: number };
  /** Whether a token sees only those before it. @default true */
  causal?: boolean;
  /** Whether the projection has a bias. @default false */
  projectionBias?: boolean;
}

/** Shape of a CLIP. */
export interface ClipConfig {
  /** Width of the space that images and captions share. */
  embedDim: number;
  /** What similarities become: a choice among all (CLIP), or a judgement on each (SigLIP). @default "softmax" */
  objective?: "softmax" | "sigmoid";
  vision: VisionConfig;
  text: TextConfig;
}

/** How images become pixels. */
export interface PreprocessConfig {
  /** Side of the output. */
  size: number;
  /** Side resized to, before the crop. */
  resize: number;
  mode: "shortest" | "squash" | "longest";
  filter: "bicubic" | "bilinear";
  /** Whose rounding of half a pixel. */
  crop: "torchvision" | "hf";
  /** Level that `longest` fills with. */
  fill: number;
  mean: [number, number, number];
  std: [number, number, number];
}

/** Whose tokenization is given where the references differ. */
export type TokenizerReference = "open_clip" | "openai" | "hf" | "hf_normalized";

/** Which towers a model is loaded with. */
export type Towers = "both" | "image" | "text";

/** Naming scheme of a checkpoint. */
export type CheckpointLayout = "hf" | "open_clip";

/** An image as it crosses the border. */
export type WireImage =
  /** One that was not to be had. */
  | { failed: { code: ClipErrorCode; message: string } }
  | { encoded: Uint8Array | Blob }
  | { url: string }
  | { path: string }
  | { bitmap: ImageBitmap }
  | { data: Uint8Array; width: number; height: number };

/** An image with what messages call it. */
export interface NamedImage {
  name: string;
  image: WireImage;
}

/** Embeddings of the images that could be read, in their order, and why the others could not. */
export interface EncodedImages {
  embeddings: Matrix;
  bad: { index: number; code: ClipErrorCode; message: string }[];
}

/** A pair as it crosses the border. */
export interface WirePair {
  image: WireImage;
  /** Its captions. */
  texts: string[];
  /** Name in the data set, for messages. */
  key?: string;
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

/** A file of an export. */
export interface ExportedFile {
  name: string;
  data: Uint8Array;
}

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

/** Fresh weights in the worker. */
export interface CreateRequest {
  /** JSON, ours or Hugging Face's. */
  config: string;
  /** Left out: the published vocabulary. */
  merges?: string;
  reference: TokenizerReference;
  seed: number;
  device: DeviceChoice;
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

/** Rows of a matrix. */
export interface Matrix {
  data: Float32Array;
  /** Rows, columns. */
  shape: [number, number];
}

/** Embeddings of texts. */
export interface TextMatrix extends Matrix {
  /** What is odd about the texts, in words. */
  warnings: string[];
}

/** Settings of a run, complete. */
export interface FitSettings {
  batchSize: number;
  microBatchSize?: number;
  activationCheckpointing: boolean;
  epochs: number;
  lr: number;
  warmup: number;
  schedule: "cosine" | "linear" | "constant";
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  muon?: { lr: number; momentum: number; weightDecay: number };
  clipNorm?: number;
  labelSmoothing: number;
  maskDuplicates: boolean;
  augment?: { scale: readonly [number, number]; ratio: readonly [number, number]; flip: number };
  precision: "f32" | "f16";
  patchDropout: number;
  emaDecay?: number;
  lastBlocks?: number;
  lora?: { rank: number; alpha: number };
  lock?: Exclude<Towers, "both">;
  seed: number;
}

/** One training step. */
export interface StepEvent {
  type: "step";
  /** Steps of this run done, this one included. */
  step: number;
  totalSteps: number;
  /** Counted from 1. */
  epoch: number;
  /** Loss before the update; an untrained model is near `ln(batchSize)`. */
  loss: number;
  /** Learning rate of the update. */
  lr: number;
  /** Logarithm of the inverse temperature, before the update; at most ln 100. */
  logitScale: number;
  /** Length of all gradients as one vector, before it was clipped. */
  gradientNorm: number;
  /** Mean cosine of two images, and of two captions, of the batch: 1 where all of them are one. */
  likeness: { image: number; text: number };
  batchSize: number;
  /** Pairs a second, over the last steps. */
  samplesPerSecond: number;
  /** Seconds to the end of the run at that speed. */
  secondsLeft: number;
  /** Share of the last steps' time in which they waited for their images; 0 unless `augment` makes them. */
  waiting: number;
}

/** Retrieval in one direction, as shares of the queries from 0 to 1. */
export interface Recall {
  r1: number;
  r5: number;
  r10: number;
  /** 1 is best. */
  medianRank: number;
  /** How many were asked: distinct pictures, or distinct captions. */
  queries: number;
}

/**
 * Retrieval in both directions. Equal pictures are one query and one candidate, and so are equal captions; a query has found its own
 * with the nearest of all that stand in a row with it.
 */
export interface Evaluation {
  imageToText: Recall;
  textToImage: Recall;
  /**
   * How many of the pairs' pictures and captions have an equal one among them and were counted as one with it. Pictures are equal
   * that the model cannot tell apart, whatever their names; captions that the tokenizer makes the same of.
   */
  grouped: { images: number; captions: number };
  /** Where labelled images were given, the share of them whose label is the first, or among the first five. */
  zeroShot?: { top1: number; top5: number };
}

/** Adapters as PEFT reads them: the contents of its two files. */
export interface Adapter {
  /** `adapter_model.safetensors`. */
  weights: Uint8Array;
  /** `adapter_config.json`. */
  config: string;
}

/** Loss of a batch, and the gradient of every parameter as safetensors. */
export interface GradientResult {
  loss: number;
  safetensors: Uint8Array;
}

/** Bytes that the worker and its module hold. */
export interface MemoryInfo {
  /** Linear memory of the Wasm module; it never shrinks. On the CPU it holds the tensors too. */
  wasmBytes: number;
  /** What the GPU's allocator holds, buffers kept for reuse included. */
  gpuBytes?: number;
}

/** Handle of a data set in the worker. */
export type PairsHandle = number;

/** How pairs are taken. */
export interface PushOptions {
  /** Number of the first of them in the data set, for messages. */
  first: number;
  /** Cuts captions that are too long. */
  truncate: boolean;
  /** Leaves out what cannot be read, where it would be refused. */
  skip: boolean;
}

/** A pair that was left out, and why. */
export interface SkippedPair {
  /** Its place in the data set, from 0. */
  index: number;
  key?: string;
  code: ClipErrorCode;
  message: string;
  /** Whether it is one of the pairs that a run is judged by. */
  judged?: true;
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
  encodePixels(pixels: Float32Array): Promise<Matrix>;
  encodeIds(ids: Int32Array): Promise<Matrix>;
  tokenize(texts: string[], truncate: boolean): Promise<Int32Array>;
  preprocess(images: NamedImage[]): Promise<Float32Array>;
  logitsPerImage(images: Float32Array, texts: Float32Array): Promise<Matrix>;
  /** What logits say, images by texts. */
  probabilities(logits: Float32Array, texts: number): Promise<Float32Array>;
  /** One embedding a label from the embeddings of its prompts. */
  labelEmbeddings(prompts: Float32Array, perLabel: number): Promise<Matrix>;
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
