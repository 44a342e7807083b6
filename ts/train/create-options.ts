/** Options of `ClipTrainer.create`. */

import type { ClipConfig, TokenizerReference } from "../../workers/protocol/config.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { DeviceChoice } from "../../workers/protocol/load.js";
import type { ClipSource, ServerOptions } from "../inputs/sources.js";
import { SERVER } from "../model/load.js";
import { checkOptions } from "../options/check.js";
import { DEVICE, TOKENIZER } from "../options/choices.js";
import { excludedBy, object, required, type Schema, seed, text, unchecked } from "../options/rules.js";

interface TrainerOptions {
  /** Where the model computes. @default "auto" */
  device?: DeviceChoice;
  /** Whose tokenization to follow. @default "open_clip"; with `from`, that of the checkpoint's publisher */
  tokenizer?: TokenizerReference;
}

/** Fresh weights of a given shape. */
export interface CreateFromConfig extends TrainerOptions {
  /** Shape of the model. */
  config: ClipConfig;
  /** Seed of the initial weights, an unsigned 32-bit integer. @default 0 */
  seed?: number;
  /** Text of a `merges.txt`: the merges of another byte-pair encoding. @default CLIP's published merges */
  merges?: string;
  /** Not beside `config`. */
  from?: never;
  /** Not beside `config`. */
  adapter?: never;
  /** Not beside `config`. */
  endpoint?: never;
  /** Not beside `config`. */
  revision?: never;
  /** Not beside `config`. */
  headers?: never;
}

/** The weights of a checkpoint, for fine-tuning. */
export interface CreateFromCheckpoint extends TrainerOptions, ServerOptions {
  /** Where the checkpoint is, as for `Clip.load`. */
  from: ClipSource;
  /** Low-rank adapters that are added to the weights first, as for `Clip.load`. @default none */
  adapter?: ClipSource;
  /** Not beside `from`. */
  config?: never;
  /** Not beside `from`. */
  seed?: never;
  /** Not beside `from`. */
  merges?: never;
}

/** How a trainer is made: with fresh weights, or with those of a checkpoint. */
export type CreateOptions = CreateFromConfig | CreateFromCheckpoint;

const FROM_CONFIG = {
  config: required(object<ClipConfig>("the shape of a CLIP")),
  seed,
  merges: text("the text of a merges.txt"),
  from: excludedBy("config"),
  adapter: excludedBy("config"),
  endpoint: excludedBy("config"),
  revision: excludedBy("config"),
  headers: excludedBy("config"),
  device: DEVICE,
  tokenizer: TOKENIZER,
} satisfies Schema<CreateFromConfig>;

const FROM_CHECKPOINT = {
  from: required(unchecked<ClipSource>()),
  adapter: unchecked<ClipSource>(),
  ...SERVER,
  config: excludedBy("from"),
  seed: excludedBy("from"),
  merges: excludedBy("from"),
  device: DEVICE,
  tokenizer: TOKENIZER,
} satisfies Schema<CreateFromCheckpoint>;

/** @throws ClipError `invalid-option`; `invalid-config` without `config` and `from` */
export function checkCreateOptions(options: CreateOptions): CreateOptions {
  const call = "ClipTrainer.create()";
  const { config, from } = Object(options) as CreateOptions;
  if (from !== undefined) return checkOptions(call, options as CreateFromCheckpoint, FROM_CHECKPOINT);
  if (config !== undefined) return checkOptions(call, options as CreateFromConfig, FROM_CONFIG);
  // a misspelt name is reported first
  checkOptions(call, { ...options, config: {} } as unknown as CreateFromConfig, FROM_CONFIG);
  throw new ClipError(
    "invalid-config",
    "ClipTrainer.create() takes config, the shape of a CLIP, or from, a checkpoint: give one of them",
  );
}
