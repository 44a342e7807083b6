/** A trainer with its data sets and its run. */

import { WorkerClient } from "../protocol/client.js";
import type { NamedImage } from "../protocol/encode.js";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import type { Evaluation, PairsHandle, PushOptions, SkippedPair, StepEvent, WirePair } from "../protocol/train.js";
import type { Pairs, TrainingSession } from "../runtime/wasm.js";
import { Prefetch, toLoaderImage } from "./prefetch.js";
import { pushImage, type Settled } from "./push-image.js";
import { Speedometer } from "./speedometer.js";

/** A pair whose image was loaded, or not. */
export interface LoadedPair {
  pair: WirePair;
  image: Settled;
}

/** A data set; `images` augments its images anew for each epoch. */
interface DataSet {
  pairs: Pairs;
  images?: Prefetch;
}

function free({ pairs, images }: DataSet): void {
  pairs.free();
  images?.close();
}

/** One trainer. */
export class Training {
  readonly trainingSession: TrainingSession;
  readonly #pairs = new Map<PairsHandle, DataSet>();
  #nextHandle = 1;
  /** Augments the images of the current run. */
  #images: Prefetch | undefined;
  #speed = new Speedometer();

  constructor(trainingSession: TrainingSession) {
    this.trainingSession = trainingSession;
  }

  #need(handle: PairsHandle): DataSet {
    const set = this.#pairs.get(handle);
    if (!set) throw new ClipError("unexpected", `unknown data set ${handle}`);
    return set;
  }

  #open(set: DataSet): PairsHandle {
    const handle = this.#nextHandle++;
    this.#pairs.set(handle, set);
    return handle;
  }

  /** Opens a data set for evaluation. */
  open(): PairsHandle {
    return this.#open({ pairs: this.trainingSession.pairs() });
  }

  /** Opens a data set for a run, or without settings for the one that was stopped. */
  openRun(settings: string | undefined, startLoader: () => SpawnedWorker): PairsHandle {
    const pairs =
      settings === undefined ? this.trainingSession.interruptedPairs() : this.trainingSession.runPairs(settings);
    const { augmenter } = pairs;
    if (augmenter === undefined) return this.#open({ pairs });
    return this.#open({ pairs, images: new Prefetch(new WorkerClient(startLoader()), augmenter) });
  }

  /** Adds pairs to a data set; returns those that were skipped. */
  async push(
    handle: PairsHandle,
    loaded: LoadedPair[],
    { first, truncate, skip }: PushOptions,
  ): Promise<SkippedPair[]> {
    const { pairs: target, images: prefetch } = this.#need(handle);
    const skipped: SkippedPair[] = [];
    const images: NamedImage[] = [];
    loaded.forEach(({ pair, image }, i) => {
      const { texts, key } = pair;
      const index = first + i;
      const name = key === undefined ? `pair ${index}` : `pair ${index} (${excerpt(key)})`;
      const reason = pushImage(name, image, skip, (value) => {
        if ("encoded" in value) target.pushEncoded(value.encoded, texts, truncate);
        else target.pushRaw(value.width, value.height, value.data, texts, truncate);
        if (prefetch) images.push({ name, image: toLoaderImage(pair.image, value) });
      });
      if (reason) skipped.push({ index, ...(key !== undefined && { key }), ...reason });
    });
    await prefetch?.push(images);
    return skipped;
  }

  /** Frees a data set. */
  close(handle: PairsHandle): void {
    const set = this.#pairs.get(handle);
    if (set) free(set);
    this.#pairs.delete(handle);
  }

  /** Starts a run, or without settings resumes the one that was stopped. Takes the data set over, even if that fails. */
  start(handle: PairsHandle, settings: string | undefined): void {
    const { pairs, images } = this.#need(handle);
    this.#pairs.delete(handle);
    try {
      if (settings === undefined) this.trainingSession.resume(pairs);
      else this.trainingSession.start(pairs, settings);
    } catch (error) {
      images?.close();
      throw error;
    }
    this.#images = images;
    this.#speed = new Speedometer();
  }

  /** Ends the run. */
  stop(): void {
    this.trainingSession.stop();
    this.#images?.close();
    this.#images = undefined;
  }

  /** Requests the crops of a step, `ahead` of the next; `undefined` if the run has no augmentation, or no such step. */
  #crops(ahead: number): Promise<Uint8Array> | undefined {
    const request = this.#images && this.trainingSession.imageRequest(ahead);
    return request && this.#images?.crops(request);
  }

  /** Runs one step; `undefined` after the last. */
  async step(): Promise<StepEvent | undefined> {
    this.#speed.start();
    const needed = this.#crops(0);
    const crops = needed && (await this.#speed.wait(needed));
    // prefetched while this step runs
    this.#crops(1);
    const progress = await this.trainingSession.step(crops);
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

  /** Evaluates retrieval; `distractors` are further candidates. */
  async evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation> {
    const { pairs: queries } = this.#need(pairs);
    const values =
      distractors === undefined
        ? await this.trainingSession.evaluate(queries)
        : await this.trainingSession.evaluateAmong(queries, this.#need(distractors).pairs);
    const recall = (at: number) => {
      const [r1 = 0, r5 = 0, r10 = 0, medianRank = 0, queries = 0] = values.subarray(at, at + 5);
      return { r1, r5, r10, medianRank, queries };
    };
    const [images = 0, captions = 0] = values.subarray(10);
    return { imageToText: recall(0), textToImage: recall(5), grouped: { images, captions } };
  }

  /** Embeds the images of a data set, one a row. */
  async embedImages(handle: PairsHandle): Promise<{ data: Float32Array; rows: number }> {
    const { pairs } = this.#need(handle);
    return { data: await this.trainingSession.embedImages(pairs), rows: pairs.length };
  }
}
