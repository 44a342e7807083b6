/** Training: pairs, a run, and its results. */

import type { OwnBytes } from "./bytes.js";
import type { TokenizerReference } from "./config.js";
import type { WireImage } from "./encode.js";
import type { ClipErrorCode } from "./error.js";
import type { DeviceChoice } from "./load.js";

/** A pair as it is sent to the worker. */
export interface WirePair {
  image: WireImage;
  /** Its captions. */
  texts: string[];
  /** Name in the data set, for messages. */
  key?: string;
}

/** A model with random weights. */
export interface CreateRequest {
  /** JSON in our form or Hugging Face's. */
  config: string;
  /** @default the published vocabulary */
  merges?: string;
  reference: TokenizerReference;
  seed: number;
  device: DeviceChoice;
}

/** One training step. */
export interface StepEvent {
  /** Discriminates the events. */
  type: "step";
  /** Number of the step in its run, from 1. */
  step: number;
  /** Number of steps of the run. */
  totalSteps: number;
  /** Number of the epoch, from 1. */
  epoch: number;
  /** Loss before the update; near `ln(batchSize)` for an untrained model. */
  loss: number;
  /** Learning rate of the update. */
  lr: number;
  /** Logarithm of the inverse temperature before the update; at most ln 100. */
  logitScale: number;
  /** Norm of all gradients as one vector, before clipping. */
  gradientNorm: number;
  /** Mean cosine similarity of two images, and of two captions, of the batch; 1 if all embeddings are equal. */
  likeness: {
    /** Of image embeddings. */
    image: number;
    /** Of text embeddings. */
    text: number;
  };
  /** Pairs of the step. */
  batchSize: number;
  /** Pairs per second, averaged over the last steps. */
  samplesPerSecond: number;
  /** Seconds to the end of the run at this speed. */
  secondsLeft: number;
  /** Share of the last steps' time spent waiting for augmented images, from 0 to 1; 0 without `augment`. */
  waiting: number;
}

/** Retrieval in one direction; recalls are shares of the queries, from 0 to 1. */
export interface Recall {
  /** Queries whose match is the nearest candidate. */
  r1: number;
  /** Queries whose match is among the nearest 5. */
  r5: number;
  /** Queries whose match is among the nearest 10. */
  r10: number;
  /** Median rank of the matches, from 1. */
  medianRank: number;
  /** Number of queries: distinct images, or distinct captions. */
  queries: number;
}

/** Shares of the labelled images, from 0 to 1. */
export interface ZeroShotAccuracy {
  /** Images whose label is ranked first. */
  top1: number;
  /** Images whose label is among the first five. */
  top5: number;
}

/**
 * Retrieval in both directions. Equal images count as one query and one candidate, and so do equal captions. A query with
 * several matches is ranked by the nearest of them.
 */
export interface Evaluation {
  /** Images as queries, captions as candidates. */
  imageToText: Recall;
  /** Captions as queries, images as candidates. */
  textToImage: Recall;
  /**
   * Number of images and captions that were counted as one with an equal one. Images are equal if the model's pixels are,
   * captions if their token ids are.
   */
  grouped: {
    /** Number of images. */
    images: number;
    /** Number of captions. */
    captions: number;
  };
  /** Zero-shot classification of the labelled images, if some were given. */
  zeroShot?: ZeroShotAccuracy;
}

/** An adapter: the contents of PEFT's two files. */
export interface Adapter {
  /** `adapter_model.safetensors`. */
  weights: OwnBytes;
  /** `adapter_config.json`. */
  config: string;
}

/** Loss of a batch, and the gradients of all parameters as safetensors. */
export interface GradientResult {
  /** Loss of the batch. */
  loss: number;
  /** A safetensors file with the gradient of each parameter under its name. */
  safetensors: OwnBytes;
}

/** Handle of a data set in the worker. */
export type PairsHandle = number;

/** How pairs are added to a data set. */
export interface PushOptions {
  /** Index of the first pair in the data set, for messages. */
  first: number;
  /** Truncates captions that are too long. */
  truncate: boolean;
  /** Skips pairs that cannot be read, instead of throwing. */
  skip: boolean;
}

/** A pair that was skipped, and why. */
export interface SkippedPair {
  /** Index in the data set, from 0. */
  index: number;
  /** Name in the data set, or of its image. */
  key?: string;
  /** Code of the error. */
  code: ClipErrorCode;
  /** Message of the error. */
  message: string;
  /** Set for validation pairs. */
  judged?: true;
}
