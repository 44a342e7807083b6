/** A CLIP that learns. */

import type { CheckpointLayout, ClipConfig, TokenizerReference } from "../../workers/protocol/config.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { DeviceChoice, ModelInfo } from "../../workers/protocol/load.js";
import type { Adapter, Evaluation, FitSettings, GradientResult } from "../../workers/protocol/train.js";
import { Encoder, LAYOUT, loadInto } from "../clip.js";
import type { PairSource } from "../data/pairs.js";
import { toJson } from "../inputs/checkpoint-parts.js";
import type { PixelInput } from "../inputs/images.js";
import type { ClipSource } from "../inputs/sources.js";
import type { TokenInput } from "../inputs/texts.js";
import { check, checked } from "../options/options.js";
import { WorkerClient } from "../worker/client.js";
import { EVALUATE, type EvaluateOptions, Judge } from "./judge.js";
import { type FitEvent, RUN, type RunHost, type RunOptions, TrainingRun } from "./run.js";
import { createOptions, FIT, numbers, RESUME, TRAIN_STEP } from "./trainer-options.js";
import { checkTarget, readState, type StateSource, type StateTarget, writeState } from "./training-state.js";

/** How a trainer is made: fresh weights of a shape, or the weights of a checkpoint. */
export type CreateOptions = (
  | {
      config: ClipConfig;
      from?: never;
      seed?: number;
      /** Merges of another byte-pair encoding. @default the published one's */
      merges?: string;
      adapter?: never;
    }
  | {
      from: ClipSource;
      /** Low-rank adapters that are added to its weights first: see `Clip.load`. @default none */
      adapter?: ClipSource;
      config?: never;
      seed?: never;
      merges?: never;
    }
) & {
  /** @default "auto" */
  device?: DeviceChoice;
  /** Whose tokenization is given. @default "open_clip"; with `from`, that of whoever published the checkpoint */
  tokenizer?: TokenizerReference;
};

/** Settings of a run. */
export interface FitOptions extends RunOptions {
  /** Pairs a step. More pairs mean more negatives: the one number that matters most. @default 256 */
  batchSize?: number;
  /**
   * Pairs whose activations are in memory together. A batch of any size has the same gradient with it, at the price of a
   * second forward pass (GradCache, arXiv 2101.06983). @default batchSize
   */
  microBatchSize?: number;
  /**
   * Keeps the activations of one block at a time and computes them anew when their turn comes: memory no longer grows with
   * the number of blocks, a step takes longer (arXiv 1604.06174). @default false
   */
  activationCheckpointing?: boolean;
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
  /**
   * Trains the matrices of the blocks by Muon (https://kellerjordan.github.io/posts/muon/) and the rest by AdamW: it learns
   * more from each step, at the price of some multiplications. `lr` rises and falls as AdamW's does.
   * @default AdamW for all; momentum 0.95, weightDecay 0.1
   */
  muon?: { lr: number; momentum?: number; weightDecay?: number };
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
  /**
   * Trains the last blocks of each tower and what follows them, the final norm, the projection and the temperature; 0 trains
   * what follows the blocks alone. @default all
   */
  lastBlocks?: number;
  /**
   * Trains low-rank adapters of the blocks' matrices in the place of the weights (LoRA, arXiv 2106.09685); what is added is
   * scaled by `alpha / rank`. They are part of what is exported, and `exportAdapter` gives them alone. @default none
   */
  lora?: { rank: number; alpha: number };
  /**
   * Shows another part of each image in each epoch, cut and resized in another worker while the step before goes on:
   * `scale` of its area, `ratio` of width to height, left and right changed with the probability `flip`, which captions that
   * name sides do not bear. `{}` is what OpenCLIP trains with.
   * @default the same square of an image each time; scale [0.9, 1], ratio [3/4, 4/3], flip 0
   */
  augment?: { scale?: readonly [number, number]; ratio?: readonly [number, number]; flip?: number };
  /**
   * `"f16"` multiplies the blocks' matrices in half precision, where the device has it; weights, norms and the loss stay in full,
   * and the loss is scaled so that no gradient is lost (arXiv 1710.03740). @default "f32"
   */
  precision?: "f32" | "f16";
  /** Share of an image's patches that are left out, others each time (FLIP, arXiv 2212.00794). @default 0 */
  patchDropout?: number;
  /**
   * Share of the old average that a step leaves, 0.999 for instance: with it the model encodes, is judged and exported with
   * the average of its weights. @default no average
   */
  emaDecay?: number;
  /** Decides the order of the pairs, and all else that is drawn. @default 0 */
  seed?: number;
}

/** How a run is gone on with: its settings are its own. */
export type ResumeOptions = RunOptions;

/** How a state is gone on with. */
export interface ResumeTrainerOptions {
  /** @default "auto" */
  device?: DeviceChoice;
}

/** A CLIP that learns from image–text pairs. It encodes at any time with the weights of the last step. */
export class ClipTrainer extends Encoder {
  #fitting = false;
  readonly #device: DeviceChoice;

  private constructor(client: WorkerClient, info: ModelInfo, device: DeviceChoice) {
    super(client, info);
    this.#device = device;
  }

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
    const given = createOptions(options);
    const { device = "auto", tokenizer, merges } = given;
    const client = await WorkerClient.start();
    try {
      if (given.from !== undefined) {
        const { adapter } = given;
        const load = { ...(tokenizer !== undefined && { tokenizer }), ...(adapter !== undefined && { adapter }) };
        await loadInto(client, given.from, "train", { device, ...load });
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
   * Trains on pairs, one step for each event taken. Leaving the loop or aborting `signal` stops after the step under
   * way; what was learned stays. Run again to go on, with a learning-rate schedule of its own.
   *
   * @throws ClipError `invalid-option`, `empty-batch`, `batch-too-small`, `count-mismatch`, `caption-too-long`,
   * `undecodable-image`, `image-too-small`, `already-training`, `loss-not-finite`
   */
  async *fit(pairs: PairSource, given: FitOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    const options = checked("fit()", given, FIT);
    const settings: FitSettings = {
      batchSize: options.batchSize ?? 256,
      activationCheckpointing: options.activationCheckpointing ?? false,
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
      ...(options.augment !== undefined && {
        augment: { scale: [0.9, 1], ratio: [3 / 4, 4 / 3], flip: 0, ...options.augment },
      }),
      precision: options.precision ?? "f32",
      patchDropout: options.patchDropout ?? 0,
      ...(options.emaDecay !== undefined && { emaDecay: options.emaDecay }),
      ...(options.lastBlocks !== undefined && { lastBlocks: options.lastBlocks }),
      ...(options.lora !== undefined && { lora: options.lora }),
      ...(options.lock !== undefined && { lock: options.lock }),
      ...(options.muon !== undefined && { muon: { momentum: 0.95, weightDecay: 0.1, ...options.muon } }),
      ...(options.clipNorm !== undefined && { clipNorm: options.clipNorm }),
      seed: options.seed ?? 0,
    };
    yield* this.#run(pairs, options, settings);
  }

  /**
   * Goes on with a run that was stopped before its last step, in this trainer or in the one whose state was saved. With the
   * same pairs and on the same device it takes the steps that the run would have taken, bit for bit.
   *
   * @throws ClipError `no-run`, `count-mismatch`, `other-pairs`, and as `fit`
   */
  async *resumeFit(pairs: PairSource, options: ResumeOptions = {}): AsyncGenerator<FitEvent, void, undefined> {
    yield* this.#run(pairs, checked("resumeFit()", options, RUN));
  }

  async *#run(
    pairs: PairSource,
    options: RunOptions,
    settings?: FitSettings,
  ): AsyncGenerator<FitEvent, void, undefined> {
    if (this.#fitting) {
      throw new ClipError(
        "already-training",
        "already training: expected the running fit() to end or be stopped first, got another",
      );
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
      yield* new TrainingRun(host, pairs, options, settings).events();
    } finally {
      this.#fitting = false;
    }
  }

  async #revive(state: Uint8Array | string): Promise<void> {
    const client = await WorkerClient.start();
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
   * Everything that training goes on from: weights, the optimiser's moments, the run and how far it is. With a target it is
   * written there, whole or not at all; without, it is returned. Possible at any time, also between two steps of `fit`.
   *
   * @throws ClipError `no-weights`, `target-unwritable`
   */
  saveCheckpoint(): Promise<Uint8Array>;
  saveCheckpoint(target: StateTarget): Promise<undefined>;
  async saveCheckpoint(target?: StateTarget): Promise<Uint8Array | undefined> {
    if (target !== undefined) checkTarget(target);
    const bytes = await this.client.call((api) => api.saveState(typeof target === "string" ? target : undefined));
    if (bytes === undefined || target === undefined || typeof target === "string") return bytes;
    await writeState(target, bytes);
    return undefined;
  }

  /**
   * The adapters of the last run with `lora`, in the two files that PEFT reads: small, and nothing without the model that
   * they were trained beside.
   *
   * @throws ClipError `no-adapter`, `no-weights`; `invalid-option` for a model that transformers does not have
   */
  exportAdapter(): Promise<Adapter> {
    return this.client.call((api) => api.saveAdapter());
  }

  /**
   * Makes a trainer from what `saveCheckpoint` gave. `resumeFit` goes on with its run, `fit` starts another.
   *
   * @throws ClipError `invalid-checkpoint` for what is no such state, one of another version, and one that was damaged;
   * `source-unreadable`, `device-unavailable`
   */
  static async resume(source: StateSource, options: ResumeTrainerOptions = {}): Promise<ClipTrainer> {
    const { device = "auto" } = checked("ClipTrainer.resume()", options, RESUME);
    const state = await readState(source);
    const client = await WorkerClient.start();
    try {
      return new ClipTrainer(client, await client.call((api) => api.resume(state, device)), device);
    } catch (error) {
      client.dispose();
      throw error;
    }
  }

  /** How well each pair finds its other half among all of them and the `distractors`. */
  async evaluate(pairs: PairSource, options: EvaluateOptions = {}): Promise<Evaluation> {
    const judge = await Judge.open(this.client, this, pairs, checked("evaluate()", options, EVALUATE));
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
  async gradients(batch: PixelInput & TokenInput, layout: CheckpointLayout = "hf"): Promise<GradientResult> {
    check("layout", layout, LAYOUT);
    const { pixelValues, inputIds } = numbers(batch);
    return this.client.call((api) => api.gradients(pixelValues, inputIds, layout));
  }

  /**
   * One AdamW step at rate `lr` on a batch given as numbers; returns the loss before it. For training loops of one's
   * own: `fit` does all of it.
   *
   * @throws ClipError as `gradients`, and `already-training`, `invalid-option`, `loss-not-finite`
   */
  async trainStep(batch: PixelInput & TokenInput, options: { lr: number }): Promise<number> {
    const { lr } = checked("trainStep()", options ?? {}, TRAIN_STEP);
    const { pixelValues, inputIds } = numbers(batch);
    return this.client.call((api) => api.stepOn(pixelValues, inputIds, lr));
  }
}
