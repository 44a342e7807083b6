/** Options of `fit`, and their defaults. */

import {
  alsoCalled,
  flag,
  fraction,
  integerFrom,
  nested,
  nonNegative,
  number,
  oneOf,
  positive,
  range,
  required,
  type Schema,
  seed,
} from "../options/rules.js";
import { RUN, type RunOptions } from "./run-options.js";

/** Settings of Muon, which trains the blocks' matrices. */
export interface MuonOptions {
  /** Learning rate after the warm-up; it follows the same schedule as AdamW's. */
  lr: number;
  /** Momentum, in [0, 1). @default 0.95 */
  momentum?: number;
  /** Decoupled weight decay, 0 or more. @default 0.1 */
  weightDecay?: number;
}

/** Shape of low-rank adapters. */
export interface LoraOptions {
  /** Rank of the update of each matrix. */
  rank: number;
  /** The update is scaled by `alpha / rank`. */
  alpha: number;
}

/** How images are cropped anew in each epoch (torchvision's `RandomResizedCrop`). */
export interface AugmentOptions {
  /** Smallest and largest share of the image's area, in (0, 1]. @default [0.9, 1] */
  scale?: readonly [number, number];
  /** Smallest and largest ratio of width to height. @default [3/4, 4/3] */
  ratio?: readonly [number, number];
  /** Probability of a horizontal flip, from 0 to 1. Captions that name left or right do not survive it. @default 0 */
  flip?: number;
}

/** Settings of a run. */
export interface FitOptions extends RunOptions {
  /** Pairs a step. More pairs mean more negatives: the setting that matters most. @default 256 */
  batchSize?: number;
  /**
   * Pairs whose activations are in memory at once. A batch of any size has the same gradient with it, at the price of a second
   * forward pass (GradCache, arXiv 2101.06983). @default batchSize
   */
  microBatchSize?: number;
  /**
   * Keeps the activations of one block at a time and recomputes the others during the backward pass: memory does not grow with
   * the number of blocks, but a step takes longer (arXiv 1604.06174). @default false
   */
  activationCheckpointing?: boolean;
  /** Passes over the pairs. @default 20 */
  epochs?: number;
  /** Learning rate after the warm-up. @default 1e-3 */
  lr?: number;
  /** Steps of linear warm-up. @default 50 */
  warmup?: number;
  /** How the learning rate goes on after the warm-up: it falls to 0, or stays constant. @default "cosine" */
  schedule?: "cosine" | "linear" | "constant";
  /** AdamW's decay rate of the first moment, in [0, 1). @default 0.9 */
  beta1?: number;
  /** AdamW's decay rate of the second moment, in [0, 1). @default 0.98 */
  beta2?: number;
  /** AdamW's term in the denominator. @default 1e-6 */
  epsilon?: number;
  /** AdamW's decoupled weight decay, of matrices only. @default 0.2 */
  weightDecay?: number;
  /**
   * Trains the blocks' matrices by Muon (https://kellerjordan.github.io/posts/muon/) and the rest by AdamW: a step learns more
   * and costs a few more matrix products. @default AdamW for all parameters
   */
  muon?: MuonOptions;
  /** Largest norm of all gradients as one vector; longer gradients are scaled down to it. @default no limit */
  clipNorm?: number;
  /** Share of each target that is spread over the batch, in [0, 1); for CLIP's softmax loss only. @default 0 */
  labelSmoothing?: number;
  /** Excludes pairs with the same caption from each other's negatives. @default false */
  maskDuplicates?: boolean;
  /**
   * Freezes one tower. Its embeddings are computed once, in the first epoch (locked-image tuning, arXiv 2111.07991).
   * @default none
   */
  lock?: "image" | "text";
  /**
   * Number of last blocks of each tower to train, with what follows them: final norm, projection and temperature. 0 trains only
   * what follows the blocks. @default all
   */
  lastBlocks?: number;
  /**
   * Trains low-rank adapters of the blocks' matrices instead of the weights (LoRA, arXiv 2106.09685). Exports contain their sum;
   * `exportAdapter` returns the adapters alone. @default none
   */
  lora?: LoraOptions;
  /**
   * Crops each image anew in each epoch, in another worker during the step before. `{}` crops as OpenCLIP does.
   * @default none: the same centre crop in each epoch
   */
  augment?: AugmentOptions;
  /**
   * `"f16"` and `"bf16"` multiply the blocks' matrices in half precision where the device supports it: WebGPU at most `"f16"`, the CPU
   * both, slowly. Weights, norms and the loss stay in single precision. In `"f16"` the loss is scaled so that small gradients do not
   * become 0 (arXiv 1710.03740); `"bf16"` has the range of single precision and needs no scale. @default "f32"
   */
  precision?: "f32" | "f16" | "bf16";
  /** Share of each image's patches that a step drops at random, in [0, 1) (FLIP, arXiv 2212.00794). @default 0 */
  patchDropout?: number;
  /**
   * Decay of an exponential moving average of the weights, in (0, 1), such as 0.999. The model then encodes, is evaluated and is
   * exported with the average. @default no average
   */
  emaDecay?: number;
  /** Seed of everything random in the run, such as the order of the pairs; an unsigned 32-bit integer. @default 0 */
  seed?: number;
}

export const FIT = {
  ...RUN,
  // the core explains what is wrong with batches of 0 and 1 pairs
  batchSize: integerFrom(0),
  microBatchSize: alsoCalled("minibatchsize accumfreq gradientaccumulationsteps", integerFrom(1)),
  activationCheckpointing: alsoCalled("gradientcheckpointing gradcheckpointing", flag),
  epochs: alsoCalled("numtrainepochs", integerFrom(1)),
  lr: alsoCalled("learningrate", positive),
  warmup: integerFrom(0),
  schedule: alsoCalled("lrscheduler", oneOf("cosine", "linear", "constant")),
  beta1: alsoCalled("betas", fraction("beta1")),
  beta2: fraction("beta2"),
  epsilon: positive,
  weightDecay: alsoCalled("decay wd", nonNegative),
  muon: alsoCalled(
    "optimizer optim",
    nested<MuonOptions>({ lr: required(positive), momentum: fraction("momentum"), weightDecay: nonNegative }),
  ),
  clipNorm: alsoCalled("maxgradnorm gradclipnorm", positive),
  labelSmoothing: fraction("labelSmoothing"),
  maskDuplicates: flag,
  lock: alsoCalled("freeze", oneOf("image", "text")),
  lastBlocks: alsoCalled("unfreeze", integerFrom(0)),
  lora: nested<LoraOptions>({ rank: required(integerFrom(1)), alpha: required(positive) }),
  augment: nested<AugmentOptions>({
    scale: range("two numbers above 0, at most 1, in ascending order", 1),
    ratio: range("two finite numbers above 0, in ascending order", Number.MAX_VALUE),
    flip: number("0 ≤ flip ≤ 1", (value) => value >= 0 && value <= 1),
  }),
  precision: alsoCalled("fp16 amp", oneOf("f32", "f16", "bf16")),
  patchDropout: alsoCalled("dropout", fraction("patchDropout")),
  emaDecay: number("0 < emaDecay < 1", (value) => value > 0 && value < 1),
  seed,
} satisfies Schema<FitOptions>;

/** Defaults that are needed before a run; the core has all of them. */
export const FIT_DEFAULTS = { batchSize: 256, epochs: 20 } as const;

/** Returns the options that the core reads, as JSON. Numbers become text, which keeps every bit. */
export function fitSettings(options: FitOptions): string {
  const settings = Object.entries(options).filter(([name]) => !(name in RUN));
  return JSON.stringify(Object.fromEntries(settings), (_, value) =>
    typeof value === "number" ? String(value) : value,
  );
}
