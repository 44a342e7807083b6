/** Warnings about a run that goes wrong, while it can still be stopped. */

import type { StepEvent } from "../../workers/protocol/train.js";
import { type ImageTextPair, openPairs, type PairSource } from "../data/pairs.js";

/** Stable name of a warning about a run. */
export type TrainingWarningCode =
  | "loss-stuck"
  | "loss-rising"
  | "logit-scale-capped"
  | "embeddings-alike"
  | "duplicate-captions"
  | "autosave-failed";

/** A warning about a run. Each code is given once a run. */
export interface TrainingWarning {
  /** Stable name of the warning, for programs. */
  code: TrainingWarningCode;
  /** What is wrong and what to do, for people. */
  message: string;
}

/** Steps to average over: a single loss says little. */
const WINDOW = 20;
/** Steps before which a loss may well be that of random guessing. */
const PATIENCE = 100;
/** `logitScale` is capped at ln 100. */
const CAP = Math.log(100) - 1e-3;
/** Mean cosine of a batch's embeddings above which they have collapsed. */
const ALIKE = 0.99;
const TOWERS = ["image", "text"] as const;
/** Share of a batch's pairs with a duplicate caption above which to warn. */
const MAX_DUPLICATES = 0.1;

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** Watches a run step by step. */
export class TrainingMonitor {
  readonly #captions = new Map<string, number>();
  readonly #masked: boolean;
  readonly #given = new Set<TrainingWarningCode>();
  #losses: number[] = [];
  #best = Number.POSITIVE_INFINITY;
  #capped = 0;
  /** Steps in a row whose embeddings were alike. */
  readonly #alike = { image: 0, text: 0 };
  #last = 0;
  #steps = 0;

  /** @param masked - whether duplicate captions are masked, so that they need no warning */
  constructor(masked: boolean) {
    this.#masked = masked;
  }

  /** Yields the pairs of a source and counts their captions. */
  async *count(source: PairSource): AsyncGenerator<ImageTextPair, void, undefined> {
    for await (const pair of await openPairs(source)) {
      // only the first of several captions: which one an epoch uses is not known here
      if (!this.#masked) this.#captions.set(pair?.text, (this.#captions.get(pair?.text) ?? 0) + 1);
      yield pair;
    }
  }

  /** Expected share of a batch's pairs whose caption another pair of the batch has, too. */
  #duplicates(batchSize: number): number {
    const counts = [...this.#captions.values()];
    const pairs = counts.reduce((sum, count) => sum + count, 0);
    if (pairs < 2) return 0;
    // each pair with the same caption is in the rest of the batch with that probability
    const chance = (count: number) => 1 - (1 - (count - 1) / (pairs - 1)) ** (batchSize - 1);
    return counts.reduce((sum, count) => sum + count * chance(count), 0) / pairs;
  }

  /** Returns the warnings that this step gives rise to. */
  look({ step, loss, logitScale, batchSize, likeness }: StepEvent): TrainingWarning[] {
    const found: TrainingWarning[] = [];
    // a repeated step, after a recovery
    if (step <= this.#last) return found;
    this.#last = step;
    const warn = (code: TrainingWarningCode, message: string) => {
      if (this.#given.has(code)) return;
      this.#given.add(code);
      found.push({ code, message });
    };
    this.#steps++;
    this.#losses = [...this.#losses.slice(1 - WINDOW), loss];
    this.#capped = logitScale >= CAP ? this.#capped + 1 : 0;
    for (const tower of TOWERS) this.#alike[tower] = likeness[tower] > ALIKE ? this.#alike[tower] + 1 : 0;
    const recent = mean(this.#losses);
    const guessing = Math.log(batchSize);
    if (this.#steps === 1) {
      const duplicates = this.#duplicates(batchSize);
      const advice = "each counts as a negative of its own caption; set maskDuplicates to exclude them";
      if (duplicates > MAX_DUPLICATES) {
        warn(
          "duplicate-captions",
          `${percent(duplicates)} of a batch's pairs share their caption with another pair: ${advice}`,
        );
      }
    }
    if (this.#losses.length < WINDOW) return found;
    this.#best = Math.min(this.#best, recent);
    if (this.#steps >= PATIENCE && Math.abs(recent - guessing) < 0.01 * guessing) {
      const numbers = `${recent.toFixed(2)} over ${WINDOW} steps, ln ${batchSize} = ${guessing.toFixed(2)}`;
      warn(
        "loss-stuck",
        `the loss is that of random guessing (${numbers}): check that the captions belong to the images`,
      );
    }
    if (recent > 1.5 * this.#best && recent > this.#best + 0.5) {
      const numbers = `from ${this.#best.toFixed(2)} to ${recent.toFixed(2)} over ${WINDOW} steps`;
      warn("loss-rising", `the loss has risen ${numbers}: lower the learning rate or lengthen the warm-up`);
    }
    if (this.#capped >= WINDOW) {
      const reason = "either the model separates the pairs as well as it can, or the learning rate is too high";
      warn("logit-scale-capped", `logitScale has been at its maximum, ln 100, for ${WINDOW} steps: ${reason}`);
    }
    const alike = TOWERS.find((tower) => this.#alike[tower] >= WINDOW);
    if (this.#steps >= PATIENCE && alike) {
      const advice = "lower the learning rate, lengthen the warm-up or use larger batches";
      warn(
        "embeddings-alike",
        `the ${alike} embeddings of a batch have collapsed, with a mean cosine above ${ALIKE}: ${advice}`,
      );
    }
    return found;
  }
}
