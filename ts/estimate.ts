/** What a run will cost, from a few steps of it. */

import { ClipError } from "../workers/error.js";
import type { ImageTextPair } from "./data/pairs.js";
import { checked } from "./options.js";
import { ClipTrainer, type CreateOptions, type FitOptions } from "./trainer.js";
import { createOptions, FIT } from "./trainer-options.js";

/** What a run is expected to take. */
export interface FitEstimate {
  /** Steps in all. */
  steps: number;
  /** Seconds in all; judging and saving come on top. */
  seconds: number;
  /** Memory of the worker and the GPU in the end. */
  bytes: number;
}

/** Pairs of the smallest steps that are tried, and how many times more the next ones have. */
const FIRST = 8;
const GROWTH = 4;
/** Seconds of a step from which on larger ones would tell nothing new. */
const ENOUGH = 0.2;
/** Steps of a trial; the first ones compile what the others run. */
const STEPS = 3;

interface Trial {
  count: number;
  seconds: number;
  bytes: number;
}

/** Steps of all of `pairs` at once, in a worker of its own: memory that was taken once is not given back. */
async function attempt(create: CreateOptions, pairs: readonly ImageTextPair[], options: FitOptions): Promise<Trial> {
  const { evaluation: _e, autosave: _a, microBatchSize: _m, ...rest } = options;
  using trainer = await ClipTrainer.create(create);
  let seconds = Number.NaN;
  let began = performance.now();
  for await (const { step } of trainer.fit(pairs, { ...rest, batchSize: pairs.length, epochs: STEPS })) {
    seconds = (performance.now() - began) / 1000;
    if (step < STEPS) began = performance.now();
  }
  if (Number.isNaN(seconds)) throw new ClipError("aborted", "expected the trial to be let finish, got an abort");
  const { wasmBytes, gpuBytes = 0 } = await trainer.memory();
  return { count: pairs.length, seconds, bytes: wasmBytes + gpuBytes };
}

/**
 * Tries steps of a few pairs, then of more, until they say how time and memory grow, and tells what `fit` with these options
 * would take. It is a guess: other work beside it makes it worse.
 *
 * @param create - as for `ClipTrainer.create`
 * @param pairs - those of the run
 * @throws ClipError those of `ClipTrainer.create` and `fit`
 */
export async function estimateFit(
  create: CreateOptions,
  pairs: readonly ImageTextPair[],
  options: FitOptions = {},
): Promise<FitEstimate> {
  createOptions(create);
  checked("estimateFit()", options, FIT);
  const { batchSize = 256, microBatchSize = batchSize, epochs = 20 } = options;
  const batch = Math.min(batchSize, pairs.length);
  const together = Math.min(microBatchSize, batch);
  const trials: Trial[] = [];
  for (let count = Math.min(FIRST, together); ; count = Math.min(GROWTH * count, together)) {
    const trial = await attempt(create, pairs.slice(0, count), options);
    trials.push(trial);
    if (count === together || (trial.seconds >= ENOUGH && trials.length > 1)) break;
  }
  const last = trials.at(-1) as Trial;
  const before = trials.at(-2) ?? { count: 0, seconds: 0, bytes: last.bytes };
  const perPair = (what: "seconds" | "bytes") => Math.max(0, last[what] - before[what]) / (last.count - before.count);
  const aside = Math.max(0, last.seconds - perPair("seconds") * last.count);
  // micro-batches take a second forward pass, about half of what a pair otherwise takes
  const passes = together < batch ? 1.5 : 1;
  const steps = Math.max(1, Math.floor(pairs.length / Math.max(1, batch))) * epochs;
  return {
    steps,
    seconds: steps * (aside + passes * batch * perPair("seconds")),
    bytes: last.bytes + perPair("bytes") * (together - last.count),
  };
}
