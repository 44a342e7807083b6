/** One run, from its pairs to its last step: sends, steps, judges, saves, and starts again where its worker was lost. */

import type { Remote } from "comlink";
import type { ClipWorkerApi } from "../../workers/protocol/api.js";
import { ClipError, type ClipErrorCode, toClipError } from "../../workers/protocol/error.js";
import type { Evaluation, FitSettings, SkippedPair, StepEvent } from "../../workers/protocol/train.js";
import { canRepeat, type PairSource } from "../data/pairs.js";
import { sendPairs } from "../data/send-pairs.js";
import type { WorkerClient } from "../worker/client.js";
import { Autosave } from "./autosave.js";
import { type ClassifierFactory, Evaluator } from "./evaluator.js";
import type { RunOptions } from "./run-options.js";
import { TrainingMonitor, type TrainingWarning } from "./training-monitor.js";

/** Why a run went back to its last state. */
export interface Recovery {
  /** What happened: `worker-lost`, `panicked` or `device-failed`. */
  code: ClipErrorCode;
  message: string;
  /** The step that had been reached; the steps from the last state to it come once more, the same. */
  reached: number;
}

/** One training step, and what else there is to say at it. */
export interface FitEvent extends StepEvent {
  /** What the model is worth after this step, where it was asked for. */
  evaluation?: Evaluation;
  /** What is odd about the run; each is told once. */
  warnings?: TrainingWarning[];
  /** At the first step, the pairs that the run goes without. */
  skipped?: SkippedPair[];
  /** Whether all that the run goes on from was saved after this step. */
  saved?: true;
  /** At the first step after the worker or the GPU was lost, what happened. */
  recovered?: Recovery;
}

/** The trainer, as its run sees it. */
export interface RunHost extends ClassifierFactory {
  /** The worker in use. */
  client(): WorkerClient;
  /** Takes over what the worker now says of its model. */
  refresh(): Promise<void>;
  /** Puts a new worker with a saved state in the place of the present one. */
  revive(state: Uint8Array | string): Promise<void>;
}

/** What a new worker may do better. */
const RECOVERABLE: ReadonlySet<ClipErrorCode> = new Set<ClipErrorCode>(["worker-lost", "panicked", "device-failed"]);
/** Losses without a new step in between, after which it is no accident. */
const MOST_LOSSES = 3;

/** A run of a trainer. */
export class TrainingRun {
  readonly #host: RunHost;
  readonly #pairs: PairSource;
  readonly #options: RunOptions;
  readonly #settings: FitSettings | undefined;
  readonly #watch: TrainingMonitor;
  readonly #autosave: Autosave | undefined;
  #judge: Evaluator | undefined;
  /** R@1 of the captions by step: a step that comes once more is judged once more. */
  readonly #judged = new Map<number, number>();
  #skipped: SkippedPair[] | undefined;
  #recovered: Recovery | undefined;
  #reached = 0;
  #losses = 0;

  /** Without settings it goes on with the run that was stopped. */
  constructor(host: RunHost, pairs: PairSource, options: RunOptions, settings?: FitSettings) {
    this.#host = host;
    this.#pairs = pairs;
    this.#options = options;
    this.#settings = settings;
    // what the captions of a run that is gone on with are like was told when it began
    this.#watch = new TrainingMonitor(settings?.maskDuplicates ?? true);
    this.#autosave = options.autosave && new Autosave(options.autosave);
    if (options.badPairs === "skip") this.#skipped = [];
  }

  /** Takes a step for each event. */
  async *events(): AsyncGenerator<FitEvent, void, undefined> {
    const { signal } = this.#options;
    try {
      if (!(await this.#start(this.#watch.count(this.#pairs), this.#settings))) return;
      await this.#autosave?.begin(this.#host.client());
      while (!signal?.aborted) {
        const event = await this.#step().catch((error) => this.#recover(toClipError(error)));
        // after a loss the step is asked for once more
        if (event === "again") continue;
        if (!event) return;
        yield event;
        if (this.#gotNoBetter()) return;
      }
    } catch (error) {
      // what is there after it is no better than what was saved before it
      this.#autosave?.abandon();
      throw error;
    } finally {
      await this.#judge?.close();
      // nothing to keep or stop where the worker is gone
      await this.#autosave?.finish(this.#host.client()).catch(() => undefined);
      await this.#host
        .client()
        .call((api) => api.stopFit())
        .catch(() => undefined);
    }
  }

  /** Whether it began: not where `signal` ended it before. */
  async #start(pairs: PairSource, settings: FitSettings | undefined): Promise<boolean> {
    const { truncate = false, signal, evaluation } = this.#options;
    const client = this.#host.client();
    const open = (api: Remote<ClipWorkerApi>) => api.openRunPairs(settings);
    const handle = await sendPairs(client, pairs, { truncate, signal, open, skipped: this.#skipped });
    if (signal?.aborted) {
      await client.call((api) => api.closePairs(handle));
      return false;
    }
    await client.call((api) => api.startFit(handle, settings));
    const bad: SkippedPair[] | undefined = this.#skipped && [];
    this.#judge = evaluation && (await Evaluator.open(client, this.#host, evaluation.pairs, evaluation, bad));
    for (const pair of bad ?? []) this.#skipped?.push({ ...pair, judged: true });
    await this.#host.refresh();
    return true;
  }

  async #step(): Promise<FitEvent | undefined> {
    const { evaluation } = this.#options;
    const client = this.#host.client();
    const step = await client.call((api) => api.stepFit());
    if (!step) return undefined;
    const event: FitEvent = { ...step };
    const warnings = this.#watch.look(step);
    if (this.#judge && evaluation && (step.step % evaluation.every === 0 || step.step === step.totalSteps)) {
      event.evaluation = await this.#judge.evaluate();
      this.#judged.set(step.step, event.evaluation.textToImage.r1);
    }
    const saved = await this.#autosave?.after(step, client);
    if (saved === true) event.saved = true;
    else if (saved) warnings.push(saved);
    if (warnings.length > 0) event.warnings = warnings;
    if (this.#skipped?.length) event.skipped = this.#skipped;
    this.#skipped = undefined;
    if (this.#recovered) event.recovered = this.#recovered;
    this.#recovered = undefined;
    if (step.step > this.#reached) [this.#reached, this.#losses] = [step.step, 0];
    return event;
  }

  /** Goes back to the last state in a new worker. */
  async #recover(error: ClipError): Promise<"again"> {
    const { evaluation, badPairs } = this.#options;
    if (!this.#autosave || !RECOVERABLE.has(error.code)) throw error;
    const sources = [this.#pairs, evaluation?.pairs, evaluation?.distractors];
    if (!sources.every((source) => source === undefined || canRepeat(source))) {
      const advice = "to go on by itself a run needs its pairs as an array, as { images, texts } or as a function";
      throw new ClipError(error.code, `${error.message}; ${advice}`, { cause: error });
    }
    for (let last = error; ; ) {
      this.#losses += 1;
      if (this.#losses > MOST_LOSSES) throw last;
      try {
        await this.#host.revive(this.#autosave.state);
        if (badPairs === "skip") this.#skipped = [];
        await this.#start(this.#pairs, undefined);
        this.#skipped = undefined;
        this.#recovered = { code: error.code, message: error.message, reached: this.#reached };
        return "again";
      } catch (next) {
        last = toClipError(next);
        if (!RECOVERABLE.has(last.code)) throw last;
      }
    }
  }

  /** Whether the last judgements were none the better. */
  #gotNoBetter(): boolean {
    const { patience = Number.POSITIVE_INFINITY } = this.#options.evaluation ?? {};
    let [best, worse] = [-1, 0];
    for (const [, r1] of [...this.#judged].sort(([a], [b]) => a - b))
      [best, worse] = r1 > best ? [r1, 0] : [best, worse + 1];
    return worse >= patience;
  }
}
