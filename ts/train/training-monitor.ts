/** What a training run shows of itself when it goes wrong, told while it can still be stopped. */

import type { StepEvent } from "../../workers/protocol/train.js";
import { type ImageTextPair, openPairs, type PairSource } from "../data/pairs.js";

/** Stable name of what is odd about a run. */
export type TrainingWarningCode =
  | "loss-stuck"
  | "loss-rising"
  | "logit-scale-capped"
  | "embeddings-alike"
  | "duplicate-captions"
  | "autosave-failed";

/** What is odd about a run; each is told once. */
export interface TrainingWarning {
  code: TrainingWarningCode;
  message: string;
}

/** Steps that are looked at together: one loss says little. */
const WINDOW = 20;
/** Before that many steps a loss may well be that of guessing. */
const PATIENCE = 100;
/** `logitScale` is capped at ln 100. */
const CAP = Math.log(100) - 1e-3;
/** Mean cosine of two embeddings from which on they tell nothing apart. */
const ALIKE = 0.99;
const TOWERS = ["image", "text"] as const;
/** Share of a batch's pairs with a twin, from which on it matters. */
const MOST_TWINS = 0.1;

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** Looks at a run step by step. */
export class TrainingMonitor {
  readonly #captions = new Map<string, number>();
  readonly #masked: boolean;
  readonly #told = new Set<TrainingWarningCode>();
  #losses: number[] = [];
  #best = Number.POSITIVE_INFINITY;
  #capped = 0;
  /** Steps in a row. */
  readonly #alike = { image: 0, text: 0 };
  #last = 0;
  #steps = 0;

  /** `masked`: pairs with the same caption are no negatives of each other. */
  constructor(masked: boolean) {
    this.#masked = masked;
  }

  /** The pairs of a source, whose captions it counts. */
  async *count(source: PairSource): AsyncGenerator<ImageTextPair, void, undefined> {
    for await (const pair of await openPairs(source)) {
      // of several captions the first stands for all: which one an epoch takes is not known here
      if (!this.#masked) this.#captions.set(pair?.text, (this.#captions.get(pair?.text) ?? 0) + 1);
      yield pair;
    }
  }

  /** Share of the pairs of a batch that have another with their caption beside them, on average. */
  #twins(batchSize: number): number {
    const counts = [...this.#captions.values()];
    const pairs = counts.reduce((sum, count) => sum + count, 0);
    if (pairs < 2) return 0;
    // each of the others is one of the rest of the batch with that chance
    const chance = (count: number) => 1 - (1 - (count - 1) / (pairs - 1)) ** (batchSize - 1);
    return counts.reduce((sum, count) => sum + count * chance(count), 0) / pairs;
  }

  /** What is odd since this step. */
  look({ step, loss, logitScale, batchSize, likeness }: StepEvent): TrainingWarning[] {
    const found: TrainingWarning[] = [];
    // seen before the run went back to its last state
    if (step <= this.#last) return found;
    this.#last = step;
    const tell = (code: TrainingWarningCode, message: string) => {
      if (this.#told.has(code)) return;
      this.#told.add(code);
      found.push({ code, message });
    };
    this.#steps++;
    this.#losses = [...this.#losses.slice(1 - WINDOW), loss];
    this.#capped = logitScale >= CAP ? this.#capped + 1 : 0;
    for (const tower of TOWERS) this.#alike[tower] = likeness[tower] > ALIKE ? this.#alike[tower] + 1 : 0;
    const recent = mean(this.#losses);
    const guessing = Math.log(batchSize);
    if (this.#steps === 1) {
      const twins = this.#twins(batchSize);
      const advice = "each is taught to be unlike its own caption; maskDuplicates leaves them out";
      if (twins > MOST_TWINS) {
        tell(
          "duplicate-captions",
          `in a batch ${percent(twins)} of the pairs have another with the same caption: ${advice}`,
        );
      }
    }
    if (this.#losses.length < WINDOW) return found;
    this.#best = Math.min(this.#best, recent);
    if (this.#steps >= PATIENCE && Math.abs(recent - guessing) < 0.01 * guessing) {
      const numbers = `${recent.toFixed(2)} over ${WINDOW} steps, ln ${batchSize} = ${guessing.toFixed(2)}`;
      tell("loss-stuck", `the loss is that of guessing (${numbers}): do the captions belong to the images?`);
    }
    if (recent > 1.5 * this.#best && recent > this.#best + 0.5) {
      const numbers = `from ${this.#best.toFixed(2)} to ${recent.toFixed(2)} over ${WINDOW} steps`;
      tell("loss-rising", `the loss has risen ${numbers}: the learning rate is too high, or the warm-up too short`);
    }
    if (this.#capped >= WINDOW) {
      const reason = "either the pairs are told apart as well as they can be, or a lower learning rate is needed";
      tell("logit-scale-capped", `logitScale has been at its cap, ln 100, for ${WINDOW} steps: ${reason}`);
    }
    const alike = TOWERS.find((tower) => this.#alike[tower] >= WINDOW);
    if (this.#steps >= PATIENCE && alike) {
      const advice = "a lower learning rate, a longer warm-up or larger batches keep them apart";
      tell("embeddings-alike", `any two ${alike} embeddings of a batch have a cosine above ${ALIKE}: ${advice}`);
    }
    return found;
  }
}
