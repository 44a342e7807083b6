/** A CLIP that learns. */

import type { OwnBytes } from "../../workers/protocol/bytes.js";
import type { CheckpointLayout } from "../../workers/protocol/config.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { DeviceChoice, ModelInfo } from "../../workers/protocol/load.js";
import type { Adapter, Evaluation, GradientResult } from "../../workers/protocol/train.js";
import type { PairSource } from "../data/pairs.js";
import { toJson } from "../inputs/checkpoint-parts.js";
import { PIXELS, type PixelInput } from "../inputs/images.js";
import { IDS, type TokenInput } from "../inputs/texts.js";
import { Encoder } from "../model/encoder.js";
import { loadInto } from "../model/load.js";
import { check, checkOptions } from "../options/check.js";
import { DEVICE, LAYOUT } from "../options/choices.js";
import { positive, required, type Schema } from "../options/rules.js";
import type { TrainingClient } from "../worker/client.js";
import { startTrainer } from "../worker/start-trainer.js";
import { type CreateOptions, checkCreateOptions } from "./create-options.js";
import { EVALUATE, type EvaluateOptions, Evaluator } from "./evaluator.js";
import { FIT, type FitOptions } from "./fit-options.js";
import { type FitEvent, type RunHost, TrainingRun } from "./run.js";
import { RUN, type RunOptions } from "./run-options.js";
import { checkTarget, readState, type StateSource, type StateTarget, writeState } from "./training-state.js";

/** How a stopped run is resumed: its settings are part of its state. */
export type ResumeOptions = RunOptions;

/** How a trainer is made of a saved state. */
export interface ResumeTrainerOptions {
  /** Where the model computes. @default "auto" */
  device?: DeviceChoice;
}

const RESUME = { device: DEVICE } satisfies Schema<ResumeTrainerOptions>;

/** Options of a single step. */
export interface TrainStepOptions {
  /** Learning rate of the step. */
  lr: number;
}

const TRAIN_STEP = { lr: required(positive) } satisfies Schema<TrainStepOptions>;

/** A batch as numbers: preprocessed images and the token ids of their captions. */
export interface TensorBatch extends PixelInput, TokenInput {}

function checkBatch(batch: TensorBatch): TensorBatch {
  const { pixelValues, inputIds } = Object(batch) as TensorBatch;
  check("pixelValues", pixelValues, PIXELS);
  check("inputIds", inputIds, IDS);
  return { pixelValues, inputIds };
}

/** A CLIP that learns from image–text pairs. It encodes at any time, with the weights of the last step. */
export class ClipTrainer extends Encoder {
  /** @internal */
  declare protected client: TrainingClient;
  #fitting = false;
  readonly #device: DeviceChoice;

  private constructor(client: TrainingClient, info: ModelInfo, device: DeviceChoice) {
    super(client, info);
    this.#device = device;
  }

  /**
   * Makes a trainer in a worker of its own.
   *
   * @throws ClipError `invalid-config`, `invalid-option`, `invalid-tokenizer`, `device-unavailable`; with `from`, also those of
   * `Clip.load`
   *
   * @example
   * const trainer = await ClipTrainer.create({ config, device: "auto", seed: 1 });
   * for await (const { step, loss } of trainer.fit(pairs, { epochs: 5 })) console.log(step, loss);
   */
  static async create(options: CreateOptions): Promise<ClipTrainer> {
    const given = checkCreateOptions(options);
    const { device = "auto", tokenizer, merges } = given;
    const client = await startTrainer();
    try {
      if (given.from !== undefined) {
        const { from, config: _config, seed: _seed, merges: _merges, ...load } = given;
        await loadInto(client, from, { ...load, device });
        return new ClipTrainer(client, await client.call((api) => api.train()), device);
      }
      const request = {
        config: toJson("config", given.config),
        reference: tokenizer ?? "open_clip",
        seed: given.seed ?? 0,
        device,
        ...(merges !== undefined && { merges }),
      };
      return new ClipTrainer(client, await client.call((api) => api.create(request)), device);
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  /**
   * Trains on pairs and yields an event after each step. The next step begins when the next event is asked for. Leaving the loop
   * or aborting `signal` stops after the current step and keeps what was learned. A further call trains on, with a learning-rate
   * schedule of its own.
   *
   * @throws ClipError `invalid-option`, `invalid-source`, `invalid-dataset`, `empty-batch`, `batch-too-small`, `count-mismatch`,
   * `caption-too-long`, `undecodable-image`, `image-too-small`, `already-training`, `loss-not-finite`, `target-unwritable`,
   * `out-of-memory`, `device-failed`
   */
  async *fit(pairs: PairSource, options: FitOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    const given = checkOptions("fit()", options, FIT);
    yield* this.#run(pairs, given, given);
  }

  /**
   * Resumes a run that was stopped before its last step, in this trainer or in one made of its saved state. On the same pairs and
   * device it takes the same steps as the uninterrupted run, bit for bit.
   *
   * @throws ClipError `no-run`, `count-mismatch`, `other-pairs`, and those of `fit`
   */
  async *resumeFit(pairs: PairSource, options: ResumeOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    yield* this.#run(pairs, checkOptions("resumeFit()", options, RUN));
  }

  async *#run(pairs: PairSource, options: RunOptions, fit?: FitOptions): AsyncGenerator<FitEvent, void, undefined> {
    if (this.#fitting) {
      throw new ClipError("already-training", "already training: end or stop the running fit() first");
    }
    this.#fitting = true;
    try {
      const host: RunHost = {
        client: () => this.client,
        refresh: async () => {
          this.info = await this.client.call((api) => api.info());
        },
        revive: (state) => this.#revive(state),
        zeroShotClassifier: (labels, options) => this.zeroShotClassifier(labels, options),
      };
      yield* new TrainingRun(host, pairs, options, fit).events();
    } finally {
      this.#fitting = false;
    }
  }

  /** Replaces the worker by a new one with a saved state. */
  async #revive(state: Uint8Array | string): Promise<void> {
    const client = await startTrainer();
    try {
      this.info = await client.call((api) => api.resume(state, this.#device));
    } catch (error) {
      client.dispose();
      throw error;
    }
    this.client.dispose();
    this.client = client;
  }

  /**
   * Saves the training state: weights, optimizer moments, the run's settings and position. It can be called at any time, also
   * between two steps of `fit`. A target is written whole or not at all; without one, the bytes are returned.
   *
   * @throws ClipError `no-weights`, `invalid-source`, `target-unwritable`
   */
  saveCheckpoint(): Promise<OwnBytes>;
  saveCheckpoint(target: StateTarget): Promise<undefined>;
  async saveCheckpoint(target?: StateTarget): Promise<OwnBytes | undefined> {
    if (target !== undefined) checkTarget(target);
    const bytes = await this.client.call((api) => api.saveState(typeof target === "string" ? target : undefined));
    if (bytes === undefined || target === undefined || typeof target === "string") return bytes;
    await writeState(target, bytes);
    return undefined;
  }

  /**
   * Returns the adapters of the last run with `lora`, as PEFT's two files. They work only with the model that they were trained
   * on.
   *
   * @throws ClipError `no-adapter`, `no-weights`; `invalid-option` for a model that transformers does not have
   */
  exportAdapter(): Promise<Adapter> {
    return this.client.call((api) => api.saveAdapter());
  }

  /**
   * Makes a trainer of a state that `saveCheckpoint` or `autosave` saved. `resumeFit` continues its run, `fit` begins another.
   *
   * @throws ClipError `invalid-source`, `source-unreadable`, `device-unavailable`; `invalid-checkpoint` for a file that is no
   * training state, is damaged or has another version
   */
  static async resume(source: StateSource, options: ResumeTrainerOptions = {}): Promise<ClipTrainer> {
    const { device = "auto" } = checkOptions("ClipTrainer.resume()", options, RESUME);
    const state = await readState(source);
    const client = await startTrainer();
    try {
      return new ClipTrainer(client, await client.call((api) => api.resume(state, device)), device);
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  /**
   * Measures retrieval: how well each image finds its captions, and each caption its image, among all pairs and `distractors`.
   *
   * @throws ClipError `invalid-option`, `no-weights`, and those of `fit` that pairs cause
   */
  async evaluate(pairs: PairSource, options: EvaluateOptions = {}): Promise<Evaluation> {
    const evaluator = await Evaluator.open(this.client, this, pairs, checkOptions("evaluate()", options, EVALUATE));
    try {
      return await evaluator.evaluate();
    } finally {
      await evaluator.close();
    }
  }

  /**
   * Returns the loss of a batch and the gradient of every parameter, without a step: for comparison with other implementations.
   *
   * @param layout - naming scheme of the parameters @default "hf"
   * @throws ClipError `invalid-option`, `empty-batch`, `batch-too-small`, `count-mismatch`, `shape-mismatch`, `no-weights`
   */
  async gradients(batch: TensorBatch, layout: CheckpointLayout = "hf"): Promise<GradientResult> {
    check("layout", layout, LAYOUT);
    const { pixelValues, inputIds } = checkBatch(batch);
    return this.client.call((api) => api.gradients(pixelValues, inputIds, layout));
  }

  /**
   * Takes one AdamW step on a batch and returns the loss before it: for custom training loops, in place of `fit`.
   *
   * @throws ClipError those of `gradients`, `already-training`, `loss-not-finite`
   */
  async trainStep(batch: TensorBatch, options: TrainStepOptions): Promise<number> {
    const { lr } = checkOptions("trainStep()", options ?? {}, TRAIN_STEP);
    const { pixelValues, inputIds } = checkBatch(batch);
    return this.client.call((api) => api.stepOn(pixelValues, inputIds, lr));
  }
}
