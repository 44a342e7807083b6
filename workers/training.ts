/** A model that learns: the data sets sent for it, and its run. */

import { ClipError, inItem, toClipError } from "./error.js";
import type { ReadyImage } from "./images.js";
import type {
  Evaluation,
  FitSettings,
  PairsHandle,
  PushOptions,
  SkippedPair,
  StepEvent,
  WirePair,
} from "./protocol.js";
import { Speedometer } from "./speedometer.js";
import type { Pairs, Trainer, Wasm } from "./wasm.js";

/** Pairs on their way in, with what became of each image. */
export interface FetchedPair {
  pair: WirePair;
  image: PromiseSettledResult<ReadyImage>;
}

/** The trainer and what belongs to it. */
export class Training {
  readonly trainer: Trainer;
  readonly #pairs = new Map<PairsHandle, Pairs>();
  #nextHandle = 1;
  #speed = new Speedometer();

  constructor(trainer: Trainer) {
    this.trainer = trainer;
  }

  #need(handle: PairsHandle): Pairs {
    const pairs = this.#pairs.get(handle);
    if (!pairs) throw new ClipError("unexpected", `expected an open data set, got handle ${handle}`);
    return pairs;
  }

  /** Pairs that a run takes over. */
  #take(handle: PairsHandle): Pairs {
    const pairs = this.#need(handle);
    this.#pairs.delete(handle);
    return pairs;
  }

  open(): PairsHandle {
    const handle = this.#nextHandle++;
    this.#pairs.set(handle, this.trainer.pairs());
    return handle;
  }

  push(handle: PairsHandle, fetched: FetchedPair[], { first, truncate, skip }: PushOptions): SkippedPair[] {
    const target = this.#need(handle);
    const skipped: SkippedPair[] = [];
    fetched.forEach(({ pair: { texts, key }, image }, i) => {
      const index = first + i;
      try {
        inItem(key === undefined ? `pair ${index}` : `pair ${index} (${key})`, () => {
          if (image.status === "rejected") throw image.reason;
          const ready = image.value;
          if ("encoded" in ready) target.pushEncoded(ready.encoded, texts, truncate);
          else target.pushRaw(ready.width, ready.height, ready.data, texts, truncate);
        });
      } catch (error) {
        const { code, message } = toClipError(error);
        if (!skip || code === "panicked") throw error;
        skipped.push({ index, ...(key !== undefined && { key }), code, message });
      }
    });
    return skipped;
  }

  close(handle: PairsHandle): void {
    this.#pairs.get(handle)?.free();
    this.#pairs.delete(handle);
  }

  start(wasm: Wasm, handle: PairsHandle, fit: FitSettings): void {
    const settings = new wasm.FitSettings(fit);
    try {
      this.trainer.start(this.#take(handle), settings);
    } finally {
      settings.free();
    }
    this.#speed = new Speedometer();
  }

  resume(handle: PairsHandle): void {
    this.trainer.resume(this.#take(handle));
    this.#speed = new Speedometer();
  }

  async step(): Promise<StepEvent | undefined> {
    this.#speed.start();
    const progress = await this.trainer.step();
    if (!progress) return undefined;
    const { step, totalSteps, epoch, batchSize, loss, lr, logitScale, gradientNorm, likeness } = progress;
    const [image = 0, text = 0] = likeness;
    progress.free();
    const secondsPerStep = this.#speed.stop();
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
      samplesPerSecond: batchSize / secondsPerStep,
      secondsLeft: (totalSteps - step) * secondsPerStep,
    };
  }

  async evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation> {
    const asked = this.#need(pairs);
    const values =
      distractors === undefined
        ? await this.trainer.evaluate(asked)
        : await this.trainer.evaluateAmong(asked, this.#need(distractors));
    const recall = (at: number) => {
      const [r1 = 0, r5 = 0, r10 = 0, medianRank = 0] = values.subarray(at, at + 4);
      return { r1, r5, r10, medianRank };
    };
    return { imageToText: recall(0), textToImage: recall(4) };
  }

  /** Embeddings of the pairs' images, row by row. */
  async embedImages(handle: PairsHandle): Promise<{ data: Float32Array; rows: number }> {
    const pairs = this.#need(handle);
    return { data: await this.trainer.embedImages(pairs), rows: pairs.length };
  }
}
