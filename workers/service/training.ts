/** A model that learns: the data sets sent for it, and its run. */

import type { ReadyImage } from "../loading/images.js";
import { WorkerClient } from "../protocol/client.js";
import { ClipError, inItem, toClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import type {
  Evaluation,
  FitSettings,
  PairsHandle,
  PushOptions,
  SkippedPair,
  StepEvent,
  WirePair,
} from "../protocol/train.js";
import type { FitSettings as FitSettingsInCore, Pairs, Trainer, TrainingWasm } from "../runtime/wasm.js";
import type { HeldImage } from "./image-loader.js";
import { Prefetch, toHeld } from "./prefetch.js";
import { Speedometer } from "./speedometer.js";

/** Pairs on their way in, with what became of each image. */
export interface FetchedPair {
  pair: WirePair;
  image: PromiseSettledResult<ReadyImage>;
}

/** A data set, and what makes its images where they are others in each epoch. */
interface DataSet {
  pairs: Pairs;
  images?: Prefetch;
}

function free({ pairs, images }: DataSet): void {
  pairs.free();
  images?.close();
}

/** The trainer and what belongs to it. */
export class Training {
  readonly trainer: Trainer;
  readonly #wasm: TrainingWasm;
  readonly #pairs = new Map<PairsHandle, DataSet>();
  #nextHandle = 1;
  /** Of the run. */
  #images: Prefetch | undefined;
  #speed = new Speedometer();

  constructor(wasm: TrainingWasm, trainer: Trainer) {
    this.#wasm = wasm;
    this.trainer = trainer;
  }

  #need(handle: PairsHandle): DataSet {
    const set = this.#pairs.get(handle);
    if (!set) throw new ClipError("unexpected", `expected an open data set, got handle ${handle}`);
    return set;
  }

  #open(set: DataSet): PairsHandle {
    const handle = this.#nextHandle++;
    this.#pairs.set(handle, set);
    return handle;
  }

  /** For pairs that the model is judged by. */
  open(): PairsHandle {
    return this.#open({ pairs: this.trainer.pairs() });
  }

  /** Runs `use` on a run's settings, checked. */
  #withSettings<T>(settings: FitSettings, use: (checked: FitSettingsInCore) => T): T {
    const checked = new this.#wasm.FitSettings(settings);
    try {
      return use(checked);
    } finally {
      checked.free();
    }
  }

  /** For the pairs of a run, or without settings of the one that was stopped. */
  openRun(settings: FitSettings | undefined, startLoader: () => SpawnedWorker): PairsHandle {
    const pairs = settings
      ? this.#withSettings(settings, (checked) => this.trainer.runPairs(checked))
      : this.trainer.interruptedPairs();
    const { augmenter } = pairs;
    if (augmenter === undefined) return this.#open({ pairs });
    return this.#open({ pairs, images: new Prefetch(new WorkerClient(startLoader()), augmenter) });
  }

  async push(
    handle: PairsHandle,
    fetched: FetchedPair[],
    { first, truncate, skip }: PushOptions,
  ): Promise<SkippedPair[]> {
    const { pairs: target, images } = this.#need(handle);
    const skipped: SkippedPair[] = [];
    const held: HeldImage[] = [];
    fetched.forEach(({ pair, image }, i) => {
      const { texts, key } = pair;
      const index = first + i;
      const name = key === undefined ? `pair ${index}` : `pair ${index} (${excerpt(key)})`;
      try {
        inItem(name, () => {
          if (image.status === "rejected") throw image.reason;
          const ready = image.value;
          if ("encoded" in ready) target.pushEncoded(ready.encoded, texts, truncate);
          else target.pushRaw(ready.width, ready.height, ready.data, texts, truncate);
          if (images) held.push({ name, image: toHeld(pair.image, ready) });
        });
      } catch (error) {
        const { code, message } = toClipError(error);
        if (!skip || code === "panicked") throw error;
        skipped.push({ index, ...(key !== undefined && { key }), code, message });
      }
    });
    await images?.push(held);
    return skipped;
  }

  close(handle: PairsHandle): void {
    const set = this.#pairs.get(handle);
    if (set) free(set);
    this.#pairs.delete(handle);
  }

  /** Begins a run, or without settings goes on with the one that was stopped; takes the pairs over, whatever comes of it. */
  begin(handle: PairsHandle, settings: FitSettings | undefined): void {
    const { pairs, images } = this.#need(handle);
    this.#pairs.delete(handle);
    try {
      if (settings) this.#withSettings(settings, (checked) => this.trainer.start(pairs, checked));
      else this.trainer.resume(pairs);
    } catch (error) {
      images?.close();
      throw error;
    }
    this.#images = images;
    this.#speed = new Speedometer();
  }

  /** Ends the run. */
  stop(): void {
    this.trainer.stop();
    this.#images?.close();
    this.#images = undefined;
  }

  /** Images that a step needs, where it needs some. */
  #squares(ahead: number): Promise<Uint8Array> | undefined {
    const wanted = this.#images && this.trainer.wanted(ahead);
    return wanted && this.#images?.squares(wanted);
  }

  async step(): Promise<StepEvent | undefined> {
    this.#speed.start();
    const needed = this.#squares(0);
    const squares = needed && (await this.#speed.wait(needed));
    // made while this step goes on
    this.#squares(1);
    const progress = await this.trainer.step(squares);
    if (!progress) return undefined;
    const { step, totalSteps, epoch, batchSize, loss, lr, logitScale, gradientNorm, likeness } = progress;
    const [image = 0, text = 0] = likeness;
    progress.free();
    const { seconds, waiting } = this.#speed.stop();
    return {
      type: "step",
      step,
      totalSteps,
      epoch,
      loss,
      lr,
      logitScale,
      gradientNorm,
      likeness: { image, text },
      batchSize,
      samplesPerSecond: batchSize / seconds,
      secondsLeft: (totalSteps - step) * seconds,
      waiting,
    };
  }

  async evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation> {
    const { pairs: asked } = this.#need(pairs);
    const values =
      distractors === undefined
        ? await this.trainer.evaluate(asked)
        : await this.trainer.evaluateAmong(asked, this.#need(distractors).pairs);
    const recall = (at: number) => {
      const [r1 = 0, r5 = 0, r10 = 0, medianRank = 0, queries = 0] = values.subarray(at, at + 5);
      return { r1, r5, r10, medianRank, queries };
    };
    const [images = 0, captions = 0] = values.subarray(10);
    return { imageToText: recall(0), textToImage: recall(5), grouped: { images, captions } };
  }

  /** Embeddings of the pairs' images, row by row. */
  async embedImages(handle: PairsHandle): Promise<{ data: Float32Array; rows: number }> {
    const { pairs } = this.#need(handle);
    return { data: await this.trainer.embedImages(pairs), rows: pairs.length };
  }
}
