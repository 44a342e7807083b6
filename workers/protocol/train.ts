/** Pairs, a run and its results. */

import type { TokenizerReference, Towers } from "./config.js";
import type { WireImage } from "./encode.js";
import type { ClipErrorCode } from "./error.js";
import type { DeviceChoice } from "./load.js";

/** A pair as it crosses the border. */
export interface WirePair {
  image: WireImage;
  /** Its captions. */
  texts: string[];
  /** Name in the data set, for messages. */
  key?: string;
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
