/** One run, from its pairs to its last step: sends pairs, takes steps, evaluates, saves, and recovers a lost worker. */

import type { Remote } from "comlink";
import type { TrainingWorkerApi } from "../../workers/protocol/api.js";
import { ClipError, type ClipErrorCode, toClipError } from "../../workers/protocol/error.js";
import type { Evaluation, SkippedPair, StepEvent } from "../../workers/protocol/train.js";
import { canRepeat, type PairSource } from "../data/pairs.js";
import { sendPairs } from "../data/send-pairs.js";
import type { TrainingClient } from "../worker/client.js";
import { Autosave } from "./autosave.js";
import { type ClassifierFactory, Evaluator } from "./evaluator.js";
import { type FitOptions, fitSettings } from "./fit-options.js";
import type { RunOptions } from "./run-options.js";
import { TrainingMonitor, type TrainingWarning } from "./training-monitor.js";

/** Why a run returned to its last saved state. */
export interface Recovery {
  /** Code of the error: `worker-lost`, `panicked` or `device-failed`. */
  code: ClipErrorCode;
  /** Message of the error. */
  message: string;
  /** Last step before the error. The steps from the saved state to it are repeated, with the same results. */
  reached: number;
}

/** One training step, and what happened with it. */
export interface FitEvent extends StepEvent {
  /** Evaluation after this step, where `evaluation.every` asks for one. */
  evaluation?: Evaluation;
  /** New warnings; each is given once a run. */
  warnings?: TrainingWarning[];
  /** At the first step: the pairs that are skipped. */
  skipped?: SkippedPair[];
  /** Set where the training state was saved after this step. */
  saved?: true;
  /** At the first step after the worker or the GPU was lost: what happened. */
  recovered?: Recovery;
}

/** The trainer, as its run uses it. */
export interface RunHost extends ClassifierFactory {
  /** Returns the current worker. */
  client(): TrainingClient;
  /** Updates `info` from the worker. */
  refresh(): Promise<void>;
  /** Replaces the worker by a new one with a saved state. */
  revive(state: Uint8Array | string): Promise<void>;
}

/** Errors that a new worker may not have. */
const RECOVERABLE: ReadonlySet<ClipErrorCode> = new Set<ClipErrorCode>(["worker-lost", "panicked", "device-failed"]);
/** Losses in a row, without a new step between them, after which the run gives up. */
const MAX_LOSSES = 3;

/** A run of a trainer. */
export class TrainingRun {
  readonly #host: RunHost;
  readonly #pairs: PairSource;
  readonly #options: RunOptions;
  readonly #settings: string | undefined;
  readonly #monitor: TrainingMonitor;
  readonly #autosave: Autosave | undefined;
  #evaluator: Evaluator | undefined;
  /** Text→image R@1 by step: a repeated step is evaluated again. */
  readonly #recalls = new Map<number, number>();
  #skipped: SkippedPair[] | undefined;
  #recovered: Recovery | undefined;
  #reached = 0;
  #losses = 0;

  /** Starts a run with `fit`; without it, resumes the run that was stopped. */
  constructor(host: RunHost, pairs: PairSource, options: RunOptions, fit?: FitOptions) {
    this.#host = host;
    this.#pairs = pairs;
    this.#options = options;
    this.#settings = fit && fitSettings(fit);
    // a resumed run has had its warning about captions: count none
    this.#monitor = new TrainingMonitor(fit ? (fit.maskDuplicates ?? false) : true);
    this.#autosave = options.autosave && new Autosave(options.autosave);
    if (options.badPairs === "skip") this.#skipped = [];
  }

  /** Takes one step for each event. */
  async *events(): AsyncGenerator<FitEvent, void, undefined> {
    const { signal } = this.#options;
    try {
      if (!(await this.#start(this.#monitor.count(this.#pairs), this.#settings))) return;
      await this.#autosave?.begin(this.#host.client());
      while (!signal?.aborted) {
        const event = await this.#step().catch((error) => this.#recover(toClipError(error)));
        // the worker was replaced: ask for the step again
        if (event === "again") continue;
        if (!event) return;
        yield event;
        if (this.#stoppedImproving()) return;
      }
    } catch (error) {
      // the state after an error is not worth saving
      this.#autosave?.abandon();
      throw error;
    } finally {
      await this.#evaluator?.close();
      // both fail where the worker is gone, and need not be done then
      await this.#autosave?.finish(this.#host.client()).catch(() => undefined);
      await this.#host
        .client()
        .call((api) => api.stopFit())
        .catch(() => undefined);
    }
  }

  /** Sends the pairs and starts the run. Returns false where `signal` aborted it before. */
  async #start(pairs: PairSource, settings: string | undefined): Promise<boolean> {
    const { truncate = false, signal, evaluation } = this.#options;
    const client = this.#host.client();
    const open = (api: Remote<TrainingWorkerApi>) => api.openRunPairs(settings);
    const handle = await sendPairs(client, pairs, { truncate, signal, open, skipped: this.#skipped });
    if (signal?.aborted) {
      await client.call((api) => api.closePairs(handle));
      return false;
    }
    await client.call((api) => api.startFit(handle, settings));
    const bad: SkippedPair[] | undefined = this.#skipped && [];
    this.#evaluator = evaluation && (await Evaluator.open(client, this.#host, evaluation.pairs, evaluation, bad));
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
    const warnings = this.#monitor.look(step);
    if (this.#evaluator && evaluation && (step.step % evaluation.every === 0 || step.step === step.totalSteps)) {
      event.evaluation = await this.#evaluator.evaluate();
      this.#recalls.set(step.step, event.evaluation.textToImage.r1);
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

  /** Returns to the last saved state in a new worker. */
  async #recover(error: ClipError): Promise<"again"> {
    const { evaluation, badPairs } = this.#options;
    if (!this.#autosave || !RECOVERABLE.has(error.code)) throw error;
    const sources = [this.#pairs, evaluation?.pairs, evaluation?.distractors];
    if (!sources.every((source) => source === undefined || canRepeat(source))) {
      const advice = "to recover by itself, a run needs its pairs as an array, as { images, texts } or as a function";
      throw new ClipError(error.code, `${error.message}; ${advice}`, { cause: error });
    }
    for (let last = error; ; ) {
      this.#losses += 1;
      if (this.#losses > MAX_LOSSES) throw last;
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

  /** Whether the last `patience` evaluations brought no better R@1. */
  #stoppedImproving(): boolean {
    const { patience = Number.POSITIVE_INFINITY } = this.#options.evaluation ?? {};
    let [best, since] = [-1, 0];
    for (const [, r1] of [...this.#recalls].sort(([a], [b]) => a - b))
      [best, since] = r1 > best ? [r1, 0] : [best, since + 1];
    return since >= patience;
  }
}
