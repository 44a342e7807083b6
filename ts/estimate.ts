/** What a run will cost, from a few steps of it. */

import { ClipError } from "../workers/error.js";
import { canRepeat, type ImageTextPair, openPairs, type PairSource } from "./data/pairs.js";
import { checked } from "./options.js";
import type { EvaluationOptions } from "./run.js";
import { ClipTrainer, type CreateOptions, type FitOptions } from "./trainer.js";
import { createOptions, FIT } from "./trainer-options.js";

/** What a run is expected to take. */
export interface FitEstimate {
  /** Steps in all. */
  steps: number;
  /** Seconds in all; judging and saving come on top. */
  seconds: number;
  /** Memory of the worker and the GPU in the end, with the pairs that are learned from and judged by. */
  bytes: number;
}

/** Pairs of the smallest steps that are tried, and how many times more the next ones have. */
const FIRST = 8;
const GROWTH = 4;
/** Seconds of a step from which on larger ones would tell nothing new. */
const ENOUGH = 1;
/** Steps of a trial; the first ones compile what the others run. */
const STEPS = 3;
/** Bytes of images that a trial holds; of more pairs the rest is reckoned. */
const MOST_HELD = 256e6;
/** Pairs that are judged in a trial: more are judged no more at a time. */
const JUDGED = 64;

interface Trial {
  /** Pairs that can be used. */
  usable: number;
  /** Pairs whose activations were in memory together. */
  count: number;
  /** Pairs of a step. */
  batch: number;
  seconds: number;
  bytes: number;
  /** Bytes of a pair in a run's data set, and in one that a model is judged by. */
  perPair: { learned: number; judged: number };
}

/** A picture in the place of one that need not be read: as large as any other when it has been resized. */
function stand(pair: ImageTextPair, index: number): ImageTextPair {
  const data = new Uint8Array(12).map((_, byte) => (index >> (2 * byte)) & 255);
  return { ...pair, image: { data, width: 2, height: 2 } };
}

function perPair(trainer: ClipTrainer, pairs: readonly ImageTextPair[], options: FitOptions): Trial["perPair"] {
  const { config, preprocess } = trainer.info;
  const captions = pairs.reduce((sum, pair) => sum + 1 + (pair?.moreTexts?.length ?? 0), 0) / pairs.length;
  const text = captions * (4 * config.text.contextLength + 8);
  const image = 3 * (preprocess?.size ?? 0) ** 2;
  const features = options.lock === undefined ? 0 : 4 * config.embedDim * (options.lock === "text" ? captions : 1);
  return { learned: text + features + (options.augment ? 0 : image), judged: text + image };
}

/**
 * Steps with `count` pairs in memory together, in a worker of its own: memory that was taken once is not given back. All pairs go
 * into it, for their captions make the vocabulary; pictures that are not needed stay where they are.
 */
async function attempt(
  create: CreateOptions,
  all: readonly ImageTextPair[],
  options: FitOptions,
  count: number,
): Promise<Trial> {
  const { evaluation, autosave, batchSize = 256, microBatchSize = batchSize, ...rest } = options;
  using trainer = await ClipTrainer.create(create);
  const micro = microBatchSize < Math.min(batchSize, all.length);
  const batch = micro ? Math.min(batchSize, 2 * count) : count;
  const side = (trainer.info.config.vision as { imageSize?: number } | undefined)?.imageSize ?? 224;
  const most = Math.max(batch, Math.floor(MOST_HELD / (3 * side ** 2)));
  const pairs = all.slice(0, most).map((pair, index) => (index < batch ? pair : stand(pair, index)));
  const settings = { ...rest, batchSize: batch, ...(micro && { microBatchSize: count }), epochs: STEPS };
  let [seconds, steps, took, skipped] = [Number.NaN, 0, 0, 0];
  let began = performance.now();
  for await (const event of trainer.fit(pairs, settings)) {
    seconds = (performance.now() - began) / 1000;
    took = event.batchSize;
    skipped += event.skipped?.length ?? 0;
    if (++steps === STEPS) break;
    began = performance.now();
  }
  if (Number.isNaN(seconds)) throw new ClipError("aborted", "expected the trial to be let finish, got an abort");
  if (autosave) await trainer.saveCheckpoint();
  const judged = pairs.filter((pair) => pair && !pair.error).slice(0, JUDGED);
  if (evaluation) await trainer.evaluate(judged.map(stand), { truncate: true });
  const { wasmBytes, gpuBytes = 0 } = await trainer.memory();
  const each = perPair(trainer, pairs, options);
  return {
    usable: all.length - skipped,
    count: micro ? count : took,
    batch: took,
    seconds,
    bytes: wasmBytes + gpuBytes + each.learned * (all.length - pairs.length),
    perPair: each,
  };
}

/** Pairs that a model is judged by, as far as they can be counted without taking them away. */
async function countJudged({ pairs, distractors, zeroShot }: Partial<EvaluationOptions>): Promise<number> {
  let count = zeroShot?.images.length ?? 0;
  for (const source of [pairs, distractors]) {
    if (source === undefined || !canRepeat(source)) continue;
    for await (const _ of await openPairs(source)) count++;
  }
  return count;
}

/**
 * Tries steps of a few pairs, then of more, until they say how time and memory grow, and tells what `fit` with these options
 * would take. It is a guess: other work beside it makes it worse. Pairs are taken, left out and refused as `fit` does it, but that of
 * most only the caption is looked at.
 *
 * @param create - as for `ClipTrainer.create`
 * @param pairs - those of the run; a stream is read to its end, a function is asked for another one each time
 * @throws ClipError those of `ClipTrainer.create` and `fit`
 */
export async function estimateFit(
  create: CreateOptions,
  pairs: PairSource,
  options: FitOptions = {},
): Promise<FitEstimate> {
  createOptions(create);
  const settings = checked("estimateFit()", options, FIT);
  const { batchSize = 256, microBatchSize = batchSize, epochs = 20, evaluation } = settings;
  const tried = Math.min(batchSize, 2 * microBatchSize);
  const all: ImageTextPair[] = [];
  for await (const pair of await openPairs(pairs)) all.push(all.length < tried ? pair : stand(pair, all.length));
  const judged = evaluation ? await countJudged(evaluation) : 0;
  const trials: Trial[] = [];
  const most = Math.min(microBatchSize, batchSize, all.length);
  for (let count = Math.min(FIRST, most); ; count = Math.min(GROWTH * count, most)) {
    const trial = await attempt(create, all, settings, count);
    trials.push(trial);
    if (count === most || (trial.seconds >= ENOUGH && trials.length > 1)) break;
  }
  const last = trials.at(-1) as Trial;
  const before = trials.at(-2) ?? { count: 0, batch: 0, seconds: 0, bytes: last.bytes };
  const grows = (what: "seconds" | "bytes", by: "batch" | "count") =>
    Math.max(0, last[what] - before[what]) / Math.max(1, last[by] - before[by]);
  const batch = Math.min(batchSize, last.usable);
  const aside = Math.max(0, last.seconds - grows("seconds", "batch") * last.batch);
  const steps = Math.max(1, Math.floor(last.usable / Math.max(1, batch))) * epochs;
  return {
    steps,
    seconds: steps * (aside + batch * grows("seconds", "batch")),
    bytes:
      last.bytes +
      grows("bytes", "count") * (Math.min(microBatchSize, batch) - last.count) +
      judged * last.perPair.judged,
  };
}
