/** What crosses the border between a page (or Node) and the worker: types only, no code. */

/** Where a model computes. `auto` takes WebGPU on a real GPU and the CPU otherwise. */
export type DeviceChoice = "auto" | "webgpu" | "cpu";

/** The device that was taken, and why. */
export interface DeviceInfo {
  kind: "webgpu" | "cpu";
  /** In words, for people: the adapter's name, or why there is none. */
  reason: string;
}

/** Non-linearity of the MLPs: OpenAI's models use `quick_gelu`, newer ones `gelu`. */
export type Activation = "quick_gelu" | "gelu";

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

/** Image tower: a Vision Transformer. */
export interface VisionConfig extends TowerConfig {
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Side of a patch; divides `imageSize`. */
  patchSize: number;
}

/** Text tower: a causal Transformer. */
export interface TextConfig extends TowerConfig {
  /** Tokens of a caption, start and end included. */
  contextLength: number;
  /** Left out: cut to the tokens of the captions of the first `fit`. Otherwise the size of the tokenizer's vocabulary. */
  vocabSize?: number;
  /** Which token stands for the caption: the first of the highest id, or the first of a given id. @default "argmax" */
  pooling?: "argmax" | { first_of: number };
}

/** Shape of a CLIP. */
export interface ClipConfig {
  /** Width of the space that images and captions share. */
  embedDim: number;
  vision: VisionConfig;
  text: TextConfig;
}

/** Whose tokenization is given where the references differ. */
export type TokenizerReference = "open_clip" | "openai" | "hf";

/** Naming scheme of a checkpoint. */
export type CheckpointLayout = "hf" | "open_clip";

/** An image as it crosses the border. */
export type WireImage = { encoded: Uint8Array } | { data: Uint8Array; width: number; height: number };

/** A pair as it crosses the border. */
export interface WirePair {
  image: WireImage;
  text: string;
  /** Name in the data set, for messages. */
  key?: string;
}

/** A model in the worker. */
export interface LoadRequest {
  weights: Uint8Array;
  /** JSON, ours or Hugging Face's. */
  config?: string;
  merges?: string;
  reference: TokenizerReference;
  device: DeviceChoice;
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
}

/** Rows of a matrix. */
export interface Matrix {
  data: Float32Array;
  /** Rows, columns. */
  shape: [number, number];
}

/** Settings of a run, complete. */
export interface FitSettings {
  batchSize: number;
  epochs: number;
  lr: number;
  warmup: number;
  schedule: "cosine" | "constant";
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
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
  batchSize: number;
  /** Pairs a second, over the last steps. */
  samplesPerSecond: number;
  /** Seconds to the end of the run at that speed. */
  secondsLeft: number;
}

/** Retrieval in one direction, as shares of the queries from 0 to 1. */
export interface Recall {
  r1: number;
  r5: number;
  r10: number;
  /** 1 is best. */
  medianRank: number;
}

/** Retrieval in both directions. */
export interface Evaluation {
  imageToText: Recall;
  textToImage: Recall;
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

/** Everything a worker can be asked for. Calls are answered one after another, in order. */
export interface ClipWorkerApi {
  load(request: LoadRequest): Promise<ModelInfo>;
  create(request: CreateRequest): Promise<ModelInfo>;
  /** Turns the loaded model into one that learns. */
  train(): Promise<ModelInfo>;
  info(): Promise<ModelInfo>;
  memory(): Promise<MemoryInfo>;

  encodeImage(images: WireImage[]): Promise<Matrix>;
  encodeText(texts: string[], truncate: boolean): Promise<Matrix>;
  encodePixels(pixels: Float32Array): Promise<Matrix>;
  encodeIds(ids: Int32Array): Promise<Matrix>;
  tokenize(texts: string[], truncate: boolean): Promise<Int32Array>;
  preprocess(images: WireImage[]): Promise<Float32Array>;
  logitsPerImage(images: Float32Array, texts: Float32Array): Promise<Matrix>;
  save(layout: CheckpointLayout): Promise<Uint8Array>;

  /** Refuses settings that no data could make right, before any is sent. */
  checkFit(settings: FitSettings): Promise<void>;
  openPairs(): Promise<PairsHandle>;
  pushPairs(handle: PairsHandle, pairs: WirePair[], truncate: boolean): Promise<number>;
  closePairs(handle: PairsHandle): Promise<void>;
  /** Starts a run, which takes the pairs over. */
  startFit(handle: PairsHandle, settings: FitSettings): Promise<void>;
  /** Nothing after the last step. */
  stepFit(): Promise<StepEvent | undefined>;
  stopFit(): Promise<void>;
  evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation>;
  gradients(pixels: Float32Array, ids: Int32Array, layout: CheckpointLayout): Promise<GradientResult>;
  stepOn(pixels: Float32Array, ids: Int32Array, lr: number): Promise<number>;
}
