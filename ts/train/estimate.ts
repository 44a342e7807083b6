/** What a run will cost, from a few steps of it. */

import { ClipError } from "../../workers/protocol/error.js";
import { canRepeat, type ImageTextPair, openPairs, type PairSource } from "../data/pairs.js";
import { checkOptions } from "../options/check.js";
import { type CreateOptions, checkCreateOptions } from "./create-options.js";
import { FIT, type FitOptions } from "./fit-options.js";
import type { EvaluationOptions } from "./run-options.js";
import { ClipTrainer } from "./trainer.js";

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
/** Steps of a trial, and seconds that more of them are taken for, up to a number: the first ones run while they are compiled. */
const [STEPS, WARM, MOST_STEPS] = [3, 0.5, 20];
/** Steps from one save, or judgement, of a trial to the next; those that follow need room of their own. */
const EVERY = 2;
/** Bytes of images that a trial holds; of more pairs the rest is reckoned. */
const MOST_HELD = 256e6;
/** Pairs that a trial is judged by; of more the rest is reckoned. */
const MOST_JUDGED = 1_000;

interface Trial {
  /** Pairs that can be used. */
  usable: number;
  /** Pairs whose activations were in memory together. */
  count: number;
  /** Pairs of a step. */
  batch: number;
  seconds: number;
  bytes: number;
}

/** A picture in the place of one that need not be read: as large as any other when it has been resized. */
function stand(pair: ImageTextPair, index: number): ImageTextPair {
  const data = new Uint8Array(12).map((_, byte) => (index >> (2 * byte)) & 255);
  return { ...pair, image: { data, width: 2, height: 2 } };
}

/** Bytes of a pair in a run's data set, and in one that a model is judged by. */
function perPair(trainer: ClipTrainer, pairs: readonly ImageTextPair[], options: FitOptions) {
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
  judged: number,
): Promise<Trial> {
  const { evaluation: _, autosave, batchSize = 256, microBatchSize = batchSize, ...rest } = options;
  using trainer = await ClipTrainer.create(create);
  const micro = microBatchSize < Math.min(batchSize, all.length);
  const batch = micro ? Math.min(batchSize, 2 * count) : count;
  const side = (trainer.info.config.vision as { imageSize?: number } | undefined)?.imageSize ?? 224;
  const most = Math.max(batch, Math.floor(MOST_HELD / (3 * side ** 2)));
  const pairs = all.slice(0, most).map((pair, index) => (index < batch ? pair : stand(pair, index)));
  const good = all.filter((pair) => pair && !pair.error);
  const judging = Array.from({ length: good.length > 0 ? Math.min(judged, MOST_JUDGED) : 0 }, (_, i) =>
    stand(good[i % good.length] as ImageTextPair, i),
  );
  const settings = {
    ...rest,
    batchSize: batch,
    ...(micro && { microBatchSize: count }),
    epochs: MOST_STEPS,
    ...(judging.length > 0 && { evaluation: { pairs: judging, every: EVERY, truncate: true } }),
    ...(autosave && { autosave: { every: EVERY } }),
  };
  let [seconds, steps, took, skipped] = [Number.POSITIVE_INFINITY, 0, 0, 0];
  let [start, began] = [0, 0];
  // what was freed may be in pieces too small for what comes
  const least = autosave || judging.length > 0 ? STEPS + EVERY : STEPS;
  for await (const event of trainer.fit(pairs, settings)) {
    const now = performance.now();
    if (steps === 0) start = now;
    else seconds = Math.min(seconds, (now - began) / 1000);
    took = event.batchSize;
    skipped += event.skipped?.filter((pair) => !pair.judged).length ?? 0;
    if (++steps >= least && now - start >= 1000 * WARM) break;
    began = performance.now();
  }
  if (steps < least) throw new ClipError("aborted", "expected the trial to be let finish, got an abort");
  const { wasmBytes, gpuBytes = 0 } = await trainer.memory();
  const each = perPair(trainer, pairs, options);
  return {
    usable: all.length - skipped,
    count: micro ? count : took,
    batch: took,
    seconds,
    bytes: wasmBytes + gpuBytes + each.learned * (all.length - pairs.length) + each.judged * (judged - judging.length),
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
  checkCreateOptions(create);
  const settings = checkOptions("estimateFit()", options, FIT);
  const { batchSize = 256, microBatchSize = batchSize, epochs = 20, evaluation } = settings;
  const tried = Math.min(batchSize, 2 * microBatchSize);
  const all: ImageTextPair[] = [];
  for await (const pair of await openPairs(pairs)) all.push(all.length < tried ? pair : stand(pair, all.length));
  const judged = evaluation ? await countJudged(evaluation) : 0;
  const trials: Trial[] = [];
  const most = Math.min(microBatchSize, batchSize, all.length);
  for (let count = Math.min(FIRST, most); ; count = Math.min(GROWTH * count, most)) {
    const trial = await attempt(create, all, settings, count, judged);
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
    bytes: last.bytes + grows("bytes", "count") * (Math.min(microBatchSize, batch) - last.count),
  };
}
