/** A CLIP that learns. */

import { ClipError } from "../workers/error.js";
import type {
  CheckpointLayout,
  ClipConfig,
  DeviceChoice,
  Evaluation,
  FitSettings,
  GradientResult,
  PairsHandle,
  SkippedPair,
  StepEvent,
  TokenizerReference,
} from "../workers/protocol.js";
import { Encoder, loadInto } from "./clip.js";
import type { PixelInput } from "./images.js";
import { invalidOption } from "./invalid-option.js";
import { type EvaluateOptions, Judge } from "./judge.js";
import { iterate, type PairSource, sendPairs } from "./pairs.js";
import type { ClipSource } from "./sources.js";
import type { TokenInput } from "./texts.js";
import { readState, type StateSource, type StateTarget, writeState } from "./training-state.js";
import { type TrainingWarning, TrainingWatch } from "./training-watch.js";
import { WorkerClient } from "./worker-client.js";

/** How a trainer is made: fresh weights of a shape, or the weights of a checkpoint. */
export type CreateOptions = (
  | {
      config: ClipConfig;
      from?: never;
      seed?: number;
      /** Merges of another byte-pair encoding. @default the published one's */
      merges?: string;
    }
  | { from: ClipSource; config?: never; seed?: never; merges?: never }
) & {
  /** @default "auto" */
  device?: DeviceChoice;
  /** Whose tokenization is given. @default "open_clip"; with `from`, that of whoever published the checkpoint */
  tokenizer?: TokenizerReference;
};

/** Settings of a run. */
export interface FitOptions {
  /** Pairs a step. More pairs mean more negatives: the one number that matters most. @default 256 */
  batchSize?: number;
  /**
   * Pairs whose activations are in memory together. A batch of any size has the same gradient with it, at the price of a
   * second forward pass (GradCache, arXiv 2101.06983). @default batchSize
   */
  microBatchSize?: number;
  /** Times through the pairs. @default 20 */
  epochs?: number;
  /** Learning rate after the warm-up. @default 1e-3 */
  lr?: number;
  /** Steps of linear warm-up. @default 50 */
  warmup?: number;
  /** What follows the warm-up. @default "cosine" */
  schedule?: "cosine" | "linear" | "constant";
  /** @default 0.9 */
  beta1?: number;
  /** @default 0.98 */
  beta2?: number;
  /** @default 1e-6 */
  epsilon?: number;
  /** Decoupled, on matrices only. @default 0.2 */
  weightDecay?: number;
  /** Longest that all gradients as one vector may be; longer ones are shortened to it. @default no limit */
  clipNorm?: number;
  /** Share of each target that is spread over the batch, from 0 to below 1; CLIP's loss only. @default 0 */
  labelSmoothing?: number;
  /** Leaves pairs with the same caption out of each other's negatives. @default false */
  maskDuplicates?: boolean;
  /**
   * A tower that learns nothing: what it makes of each pair is computed once, and every epoch after the first does without
   * it (locked-image tuning, arXiv 2111.07991). @default neither
   */
  lock?: "image" | "text";
  /** Decides the order of the pairs. @default 0 */
  seed?: number;
  /** Cuts captions longer than the context where they would be refused. @default false */
  truncate?: boolean;
  /**
   * What becomes of a pair whose image cannot be read, or whose caption is too long: the run stops before its first step, or
   * goes without it and says so at its first step. @default "stop"
   */
  badPairs?: "stop" | "skip";
  /** Judges the model by other pairs now and then, and ends the run when it gets no better. */
  evaluation?: EvaluationOptions;
  /** Ends the run after the step under way; the iteration then ends as after the last step. */
  signal?: AbortSignal;
}

/** How a run is judged while it goes on. */
export interface EvaluationOptions extends EvaluateOptions {
  /** Pairs that are not learned from. */
  pairs: PairSource;
  /** Steps from one judgement to the next; the last step is always judged. */
  every: number;
  /** Judgements without a better text→image R@1 after which the run ends; `resumeFit` goes on all the same. @default never */
  patience?: number;
}

/** How a run is gone on with: its settings are its own. */
export type ResumeOptions = Pick<FitOptions, "truncate" | "badPairs" | "signal" | "evaluation">;

/** One training step, and what else there is to say at it. */
export interface FitEvent extends StepEvent {
  /** What the model is worth after this step, where it was asked for. */
  evaluation?: Evaluation;
  /** What is odd about the run; each is told once. */
  warnings?: TrainingWarning[];
  /** At the first step, the pairs that the run goes without. */
  skipped?: SkippedPair[];
}

function checkEvaluation({ every, patience = 1 }: EvaluationOptions): void {
  for (const [name, value] of Object.entries({ every, patience })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw invalidOption(`evaluation.${name}`, "a whole number above 0", value);
  }
}

/** A seed must mean the same in Rust: 32 bits without a sign. */
function checkSeed(seed: number): number {
  if (Number.isInteger(seed) && seed >= 0 && seed <= 0xffff_ffff) return seed;
  throw invalidOption("seed", "a whole number from 0 to 4294967295", seed);
}

/** A CLIP that learns from image–text pairs. It encodes at any time with the weights of the last step. */
export class ClipTrainer extends Encoder {
  #fitting = false;

  /**
   * Makes a trainer in a worker of its own.
   *
   * @throws ClipError `invalid-config`, `invalid-option`, `invalid-tokenizer`, `device-unavailable`, and those of
   * `Clip.load` with `from`
   *
   * @example
   * const trainer = await ClipTrainer.create({ config, device: "auto", seed: 1 });
   * for await (const { step, loss } of trainer.fit(pairs, { epochs: 5 })) console.log(step, loss);
   */
  static async create(options: CreateOptions): Promise<ClipTrainer> {
    const { device = "auto", tokenizer, merges } = options;
    const client = await WorkerClient.start();
    try {
      if (options.from !== undefined) {
        await loadInto(client, options.from, { device, ...(tokenizer !== undefined && { tokenizer }) });
        return new ClipTrainer(client, await client.call((api) => api.train()));
      }
      const request = {
        config: JSON.stringify(options.config ?? null),
        reference: tokenizer ?? "open_clip",
        seed: checkSeed(options.seed ?? 0),
        device,
        ...(merges !== undefined && { merges }),
      };
      return new ClipTrainer(client, await client.call((api) => api.create(request)));
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  /**
   * Trains on pairs, one step for each event taken. Leaving the loop or aborting `signal` stops after the step under
   * way; what was learned stays. Run again to go on, with a learning-rate schedule of its own.
   *
   * @throws ClipError `invalid-option`, `empty-batch`, `batch-too-small`, `count-mismatch`, `caption-too-long`,
   * `undecodable-image`, `image-too-small`, `already-training`, `loss-not-finite`
   */
  async *fit(pairs: PairSource, options: FitOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    const settings: FitSettings = {
      batchSize: options.batchSize ?? 256,
      epochs: options.epochs ?? 20,
      lr: options.lr ?? 1e-3,
      warmup: options.warmup ?? 50,
      schedule: options.schedule ?? "cosine",
      beta1: options.beta1 ?? 0.9,
      beta2: options.beta2 ?? 0.98,
      epsilon: options.epsilon ?? 1e-6,
      weightDecay: options.weightDecay ?? 0.2,
      labelSmoothing: options.labelSmoothing ?? 0,
      maskDuplicates: options.maskDuplicates ?? false,
      ...(options.microBatchSize !== undefined && { microBatchSize: options.microBatchSize }),
      ...(options.lock !== undefined && { lock: options.lock }),
      ...(options.clipNorm !== undefined && { clipNorm: options.clipNorm }),
      seed: checkSeed(options.seed ?? 0),
    };
    const start = (handle: PairsHandle) => this.client.call((api) => api.startFit(handle, settings));
    yield* this.#run(pairs, options, () => this.client.call((api) => api.checkFit(settings)), start);
  }

  /**
   * Goes on with a run that was stopped before its last step, in this trainer or in the one whose state was saved. With the
   * same pairs and on the same device it takes the steps that the run would have taken, bit for bit.
   *
   * @throws ClipError `no-run`, `count-mismatch`, `other-pairs`, and as `fit`
   */
  async *resumeFit(pairs: PairSource, options: ResumeOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    const start = (handle: PairsHandle) => this.client.call((api) => api.resumeFit(handle));
    // what its captions are like was told when it began
    yield* this.#run(pairs, { ...options, maskDuplicates: true }, async () => undefined, start);
  }

  async *#run(
    pairs: PairSource,
    { signal, truncate = false, badPairs = "stop", evaluation, maskDuplicates = false }: FitOptions,
    check: () => Promise<void>,
    start: (handle: PairsHandle) => Promise<void>,
  ): AsyncGenerator<FitEvent, void, undefined> {
    if (this.#fitting) {
      throw new ClipError(
        "already-training",
        "already training: expected the running fit() to end or be stopped first, got another",
      );
    }
    this.#fitting = true;
    let judge: Judge | undefined;
    try {
      if (evaluation) checkEvaluation(evaluation);
      if (!["stop", "skip"].includes(badPairs)) throw invalidOption("badPairs", "stop or skip", badPairs);
      let skipped: SkippedPair[] | undefined = badPairs === "skip" ? [] : undefined;
      await check();
      const watch = new TrainingWatch(maskDuplicates);
      const handle = await sendPairs(this.client, watch.count(iterate(pairs)), { truncate, signal, skipped });
      if (signal?.aborted) {
        await this.client.call((api) => api.closePairs(handle));
        return;
      }
      await start(handle);
      judge = evaluation && (await Judge.open(this.client, evaluation.pairs, evaluation));
      let [best, worse] = [-1, 0];
      this.info = await this.client.call((api) => api.info());
      while (!signal?.aborted) {
        const step = await this.client.call((api) => api.stepFit());
        if (!step) return;
        const warnings = watch.look(step);
        const event: FitEvent = {
          ...step,
          ...(warnings.length > 0 && { warnings }),
          ...(skipped?.length && { skipped }),
        };
        skipped = undefined;
        if (judge && evaluation && (step.step % evaluation.every === 0 || step.step === step.totalSteps)) {
          event.evaluation = await judge.evaluate();
          const { r1 } = event.evaluation.textToImage;
          [best, worse] = r1 > best ? [r1, 0] : [best, worse + 1];
        }
        yield event;
        if (worse >= (evaluation?.patience ?? Number.POSITIVE_INFINITY)) return;
      }
    } finally {
      this.#fitting = false;
      await judge?.close();
      // nothing to stop where the worker is gone
      await this.client.call((api) => api.stopFit()).catch(() => undefined);
    }
  }

  /**
   * Everything that training goes on from: weights, the optimiser's moments, the run and how far it is. With a target it is
   * written there, whole or not at all; without, it is returned. Possible at any time, also between two steps of `fit`.
   *
   * @throws ClipError `no-weights`, `target-unwritable`
   */
  saveCheckpoint(): Promise<Uint8Array>;
  saveCheckpoint(target: StateTarget): Promise<undefined>;
  async saveCheckpoint(target?: StateTarget): Promise<Uint8Array | undefined> {
    const bytes = await this.client.call((api) => api.saveState(typeof target === "string" ? target : undefined));
    if (bytes === undefined || target === undefined || typeof target === "string") return bytes;
    await writeState(target, bytes);
    return undefined;
  }

  /**
   * Makes a trainer from what `saveCheckpoint` gave. `resumeFit` goes on with its run, `fit` starts another.
   *
   * @throws ClipError `invalid-checkpoint` for what is no such state, one of another version, and one that was damaged;
   * `source-unreadable`, `device-unavailable`
   */
  static async resume(source: StateSource, { device = "auto" }: { device?: DeviceChoice } = {}): Promise<ClipTrainer> {
    const state = await readState(source);
    const client = await WorkerClient.start();
    try {
      return new ClipTrainer(client, await client.call((api) => api.resume(state, device)));
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  /** How well each pair finds its other half among all of them and the `distractors`. */
  async evaluate(pairs: PairSource, options: EvaluateOptions = {}): Promise<Evaluation> {
    const judge = await Judge.open(this.client, pairs, options);
    try {
      return await judge.evaluate();
    } finally {
      await judge.close();
    }
  }

  /**
   * Loss of a batch and the gradient of every parameter, without a step: for comparison with another implementation.
   *
   * @throws ClipError `empty-batch`, `batch-too-small`, `count-mismatch`, `shape-mismatch`, `no-weights`
   */
  async gradients(
    { pixelValues, inputIds }: PixelInput & TokenInput,
    layout: CheckpointLayout = "hf",
  ): Promise<GradientResult> {
    return this.client.call((api) => api.gradients(pixelValues, inputIds, layout));
  }

  /**
   * One AdamW step at rate `lr` on a batch given as numbers; returns the loss before it. For training loops of one's
   * own: `fit` does all of it.
   *
   * @throws ClipError as `gradients`, and `already-training`, `invalid-option`, `loss-not-finite`
   */
  async trainStep({ pixelValues, inputIds }: PixelInput & TokenInput, { lr }: { lr: number }): Promise<number> {
    return this.client.call((api) => api.stepOn(pixelValues, inputIds, lr));
  }
}
