/** Estimates the time and memory of a run from a few of its steps. */

import { ClipError } from "../../workers/protocol/error.js";
import { canRepeat, type ImageTextPair, openPairs, type PairSource } from "../data/pairs.js";
import { checkOptions } from "../options/check.js";
import { type CreateOptions, checkCreateOptions } from "./create-options.js";
import { FIT, FIT_DEFAULTS, type FitOptions } from "./fit-options.js";
import type { EvaluationOptions } from "./run-options.js";
import { ClipTrainer } from "./trainer.js";

/** Expected cost of a run. */
export interface FitEstimate {
  /** Number of steps. */
  steps: number;
  /** Seconds of all steps, without evaluating and saving. */
  seconds: number;
  /** Bytes of the worker and the GPU at the end of the run, training and validation pairs included. */
  bytes: number;
}

/** Pairs in memory in the first trial, and the factor from one trial to the next. */
const FIRST = 8;
const GROWTH = 4;
/** Seconds of a step from which on no larger trial is needed. */
const ENOUGH_SECONDS = 1;
/** Fewest and most steps of a trial, and the seconds to fill between them: the first steps compile. */
const [MIN_STEPS, MAX_STEPS, WARM_SECONDS] = [3, 20, 0.5];
/** Steps between two saves, or evaluations, of a trial; the steps after them need memory of their own. */
const EVERY = 2;
/** Most bytes of images in a trial; the rest is extrapolated. */
const MAX_IMAGE_BYTES = 256e6;
/** Most validation pairs of a trial; the rest is extrapolated. */
const MAX_VALIDATION = 1_000;

interface Trial {
  /** Pairs that can be used, of all. */
  usable: number;
  /** Pairs whose activations were in memory at once. */
  count: number;
  /** Pairs a step. */
  batch: number;
  seconds: number;
  bytes: number;
}

/** Returns the pair with an image of 2 × 2 pixels, so that no file is read. The worker resizes every image to one size. */
function withTinyImage(pair: ImageTextPair, index: number): ImageTextPair {
  const data = new Uint8Array(12).map((_, byte) => (index >> (2 * byte)) & 255);
  return { ...pair, image: { data, width: 2, height: 2 } };
}

/** Bytes of a training pair and of a validation pair in the worker. */
function bytesPerPair(trainer: ClipTrainer, pairs: readonly ImageTextPair[], options: FitOptions) {
  const { config, preprocess } = trainer.info;
  const captions = pairs.reduce((sum, pair) => sum + 1 + (pair?.moreTexts?.length ?? 0), 0) / pairs.length;
  const text = captions * (4 * config.text.contextLength + 8);
  const image = 3 * (preprocess?.size ?? 0) ** 2;
  const features = options.lock === undefined ? 0 : 4 * config.embedDim * (options.lock === "text" ? captions : 1);
  return { training: text + features + (options.augment ? 0 : image), validation: text + image };
}

/**
 * Takes steps with `count` pairs in memory at once. All captions are sent, as they make the vocabulary; images are read only as needed.
 */
async function runTrial(
  trainer: ClipTrainer,
  all: readonly ImageTextPair[],
  options: FitOptions,
  count: number,
  validation: number,
): Promise<Trial> {
  const { evaluation: _, microBatchSize: __, autosave, ...rest } = options;
  const { batchSize, microBatchSize = batchSize } = { ...FIT_DEFAULTS, ...options };
  const micro = microBatchSize < Math.min(batchSize, all.length);
  const batch = micro ? Math.min(batchSize, 2 * count) : count;
  const side = (trainer.info.config.vision as { imageSize?: number } | undefined)?.imageSize ?? 224;
  const most = Math.max(batch, Math.floor(MAX_IMAGE_BYTES / (3 * side ** 2)));
  const pairs = all.slice(0, most).map((pair, index) => (index < batch ? pair : withTinyImage(pair, index)));
  const good = all.filter((pair) => pair && !pair.error);
  const validating = Array.from({ length: good.length > 0 ? Math.min(validation, MAX_VALIDATION) : 0 }, (_, i) =>
    withTinyImage(good[i % good.length] as ImageTextPair, i),
  );
  const settings = {
    ...rest,
    batchSize: batch,
    ...(micro && { microBatchSize: count }),
    epochs: MAX_STEPS,
    ...(validating.length > 0 && { evaluation: { pairs: validating, every: EVERY, truncate: true } }),
    ...(autosave && { autosave: { every: EVERY } }),
  };
  let [seconds, steps, took, skipped] = [Number.POSITIVE_INFINITY, 0, 0, 0];
  let [start, began] = [0, 0];
  // freed memory may be too fragmented for the steps after a save or an evaluation
  const least = autosave || validating.length > 0 ? MIN_STEPS + EVERY : MIN_STEPS;
  for await (const event of trainer.fit(pairs, settings)) {
    const now = performance.now();
    if (steps === 0) start = now;
    else seconds = Math.min(seconds, (now - began) / 1000);
    took = event.batchSize;
    skipped += event.skipped?.filter((pair) => !pair.judged).length ?? 0;
    if (++steps >= least && now - start >= 1000 * WARM_SECONDS) break;
    began = performance.now();
  }
  if (steps < least) throw new ClipError("aborted", "estimate aborted");
  const { wasmBytes, gpuBytes = 0 } = await trainer.memory();
  const each = bytesPerPair(trainer, pairs, options);
  return {
    usable: all.length - skipped,
    count: micro ? count : took,
    batch: took,
    seconds,
    bytes:
      wasmBytes +
      gpuBytes +
      each.training * (all.length - pairs.length) +
      each.validation * (validation - validating.length),
  };
}

/** Counts the validation pairs that can be read a second time. */
async function countValidation({ pairs, distractors, zeroShot }: Partial<EvaluationOptions>): Promise<number> {
  let count = zeroShot?.images.length ?? 0;
  for (const source of [pairs, distractors]) {
    if (source === undefined || !canRepeat(source)) continue;
    for await (const _ of await openPairs(source)) count++;
  }
  return count;
}

/**
 * Estimates what `fit` with these options would take, from steps with few pairs and then with more, until they show how time and
 * memory grow. Other work on the machine makes the estimate worse. Pairs are skipped and refused as in `fit`, but only captions are
 * read of most.
 *
 * @param create - options of `ClipTrainer.create`
 * @param pairs - pairs of the run; a stream is read to its end
 * @param options - options of `fit`
 * @throws ClipError `aborted`, and those of `ClipTrainer.create` and `fit`
 */
export async function estimateFit(
  create: CreateOptions,
  pairs: PairSource,
  options: FitOptions = {},
): Promise<FitEstimate> {
  checkCreateOptions(create);
  const settings = checkOptions("estimateFit()", options, FIT);
  const { batchSize, microBatchSize = batchSize, epochs } = { ...FIT_DEFAULTS, ...settings };
  const { evaluation } = settings;
  const tried = Math.min(batchSize, 2 * microBatchSize);
  const all: ImageTextPair[] = [];
  for await (const pair of await openPairs(pairs))
    all.push(all.length < tried ? pair : withTinyImage(pair, all.length));
  const validation = evaluation ? await countValidation(evaluation) : 0;
  const trials: Trial[] = [];
  const most = Math.min(microBatchSize, batchSize, all.length);
  for (let count = Math.min(FIRST, most); ; count = Math.min(GROWTH * count, most)) {
    // each in a worker of its own, since Wasm memory never shrinks; without `using`, for Safari has no Symbol.dispose
    const trainer = await ClipTrainer.create(create);
    const trial = await runTrial(trainer, all, settings, count, validation).finally(() => trainer.dispose());
    trials.push(trial);
    if (count === most || (trial.seconds >= ENOUGH_SECONDS && trials.length > 1)) break;
  }
  const last = trials.at(-1) as Trial;
  const before = trials.at(-2) ?? { count: 0, batch: 0, seconds: 0, bytes: last.bytes };
  const grows = (what: "seconds" | "bytes", by: "batch" | "count") =>
    Math.max(0, last[what] - before[what]) / Math.max(1, last[by] - before[by]);
  const batch = Math.min(batchSize, last.usable);
  const fixed = Math.max(0, last.seconds - grows("seconds", "batch") * last.batch);
  const steps = Math.max(1, Math.floor(last.usable / Math.max(1, batch))) * epochs;
  return {
    steps,
    seconds: steps * (fixed + batch * grows("seconds", "batch")),
    bytes: last.bytes + grows("bytes", "count") * (Math.min(microBatchSize, batch) - last.count),
  };
}
