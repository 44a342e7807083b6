/** What the options of a trainer may be. */

import type { ClipConfig } from "../../workers/protocol/config.js";
import { ClipError } from "../../workers/protocol/error.js";
import { DEVICE, TOKENIZER } from "../clip.js";
import { PIXELS, type PixelInput } from "../inputs/images.js";
import type { ClipSource } from "../inputs/sources.js";
import { IDS, type TokenInput } from "../inputs/texts.js";
import {
  above0,
  below1,
  check,
  checked,
  elsewhere,
  flag,
  from0,
  group,
  needed,
  none,
  number,
  object,
  oneOf,
  range,
  type Schema,
  seed,
  text,
  whole,
} from "../options/options.js";
import { RUN } from "./run.js";
import type { CreateOptions, FitOptions, ResumeTrainerOptions } from "./trainer.js";

type From = Extract<CreateOptions, { from: ClipSource }>;
type Fresh = Exclude<CreateOptions, From>;

const FRESH = {
  config: needed(object<ClipConfig>("the shape of a CLIP")),
  seed,
  merges: text("the text of a merges.txt"),
  from: none("config"),
  adapter: none("config"),
  device: DEVICE,
  tokenizer: TOKENIZER,
} satisfies Schema<Fresh>;
const FROM = {
  from: needed(elsewhere<ClipSource>()),
  adapter: elsewhere<ClipSource>(),
  config: none("from"),
  seed: none("from"),
  merges: none("from"),
  device: DEVICE,
  tokenizer: TOKENIZER,
} satisfies Schema<From>;

type Group<K extends keyof FitOptions> = NonNullable<FitOptions[K]>;

export const FIT = {
  ...RUN,
  // the core says of 0 and 1 what is wrong with them
  batchSize: whole(0),
  microBatchSize: whole(1),
  activationCheckpointing: flag,
  epochs: whole(1),
  lr: above0,
  warmup: whole(0),
  schedule: oneOf("cosine", "linear", "constant"),
  beta1: below1("beta1"),
  beta2: below1("beta2"),
  epsilon: above0,
  weightDecay: from0,
  muon: group<Group<"muon">>({ lr: needed(above0), momentum: below1("momentum"), weightDecay: from0 }),
  clipNorm: above0,
  labelSmoothing: below1("labelSmoothing"),
  maskDuplicates: flag,
  lock: oneOf("image", "text"),
  lastBlocks: whole(0),
  lora: group<Group<"lora">>({ rank: needed(whole(1)), alpha: needed(above0) }),
  augment: group<Group<"augment">>({
    scale: range("two numbers above 0, at most 1, in order", 1),
    ratio: range("two finite numbers above 0, in order", Number.MAX_VALUE),
    flip: number("0 ≤ flip ≤ 1", (value) => value >= 0 && value <= 1),
  }),
  precision: oneOf("f32", "f16"),
  patchDropout: below1("patchDropout"),
  emaDecay: number("0 < emaDecay < 1", (value) => value > 0 && value < 1),
  seed,
} satisfies Schema<FitOptions>;

export const RESUME = { device: DEVICE } satisfies Schema<ResumeTrainerOptions>;
export const TRAIN_STEP = { lr: needed(above0) } satisfies Schema<{ lr: number }>;

/** Options of `ClipTrainer.create`, checked. */
export function createOptions(options: CreateOptions): CreateOptions {
  const call = "ClipTrainer.create()";
  const { config, from } = Object(options) as CreateOptions;
  if (from !== undefined) return checked<From>(call, options as From, FROM);
  if (config !== undefined) return checked<Fresh>(call, options as Fresh, FRESH);
  // a name that is written wrongly is told first
  checked<Fresh>(call, { ...options, config: {} } as Fresh, FRESH);
  throw new ClipError("invalid-config", "expected config, the shape of a CLIP, or from, a checkpoint, got neither");
}

/** A batch given as numbers, checked. */
export function numbers(batch: PixelInput & TokenInput): PixelInput & TokenInput {
  const { pixelValues, inputIds } = Object(batch) as PixelInput & TokenInput;
  check("pixelValues", pixelValues, PIXELS);
  check("inputIds", inputIds, IDS);
  return { pixelValues, inputIds };
}
