/** A model judged by pairs, once or again and again, and by labelled images where there are some. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Evaluation, PairsHandle, SkippedPair } from "../../workers/protocol/train.js";
import { TEMPLATE, type Template, type ZeroShotClassifier } from "../classify/zero-shot.js";
import { PAIRS, type PairSource } from "../data/pairs.js";
import { sendPairs } from "../data/send-pairs.js";
import type { Embeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { flag, list, nested, required, type Schema, strings } from "../options/rules.js";
import type { WorkerClient } from "../worker/client.js";

/** Labelled images, told apart by their labels' names alone. */
export interface ZeroShotOptions {
  images: readonly ImageInput[];
  /** One for each image. */
  labels: readonly string[];
  /** Captions that each label is put into at `{}`. @default ["a photo of a {}."] */
  templates?: Template | readonly Template[];
}

/** How a model is judged. */
export interface EvaluateOptions {
  /** More pairs to be told apart from: their images and captions are candidates, but nothing is asked for them. */
  distractors?: PairSource;
  /** Labelled images to be classified besides. */
  zeroShot?: ZeroShotOptions;
  /** Cuts captions longer than the context where they would be refused. @default false */
  truncate?: boolean;
}

export const EVALUATE = {
  distractors: PAIRS,
  zeroShot: nested<ZeroShotOptions>({
    images: required(list<ImageInput>("a list of images")),
    labels: required(strings),
    templates: TEMPLATE,
  }),
  truncate: flag,
} satisfies Schema<EvaluateOptions>;

/** What embeds labels: an encoder. */
export interface ClassifierFactory {
  zeroShotClassifier(
    labels: readonly string[],
    options: { templates?: Template | readonly Template[]; truncate?: boolean },
  ): Promise<ZeroShotClassifier>;
}

/** Pairs in the worker that its model is judged by. They are sent once: a stream can be read only once. */
export class Evaluator {
  readonly #client: WorkerClient;
  readonly #encoder: ClassifierFactory;
  readonly #options: EvaluateOptions;
  readonly #handles: PairsHandle[] = [];
  #distractors: PairsHandle | undefined;
  #labelled: PairsHandle | undefined;

  private constructor(client: WorkerClient, encoder: ClassifierFactory, options: EvaluateOptions) {
    this.#client = client;
    this.#encoder = encoder;
    this.#options = options;
  }

  /** Sends them; with `skipped`, bad pairs are left out, and those of `pairs` added to it. */
  static async open(
    client: WorkerClient,
    encoder: ClassifierFactory,
    pairs: PairSource,
    options: EvaluateOptions,
    skipped?: SkippedPair[],
  ): Promise<Evaluator> {
    const judge = new Evaluator(client, encoder, options);
    try {
      const { distractors, zeroShot } = options;
      await judge.#send(pairs, skipped);
      if (distractors !== undefined) judge.#distractors = await judge.#send(distractors, skipped && []);
      if (zeroShot) judge.#labelled = await judge.#send({ images: zeroShot.images, texts: zeroShot.labels });
      return judge;
    } catch (error) {
      await judge.close();
      throw error;
    }
  }

  async #send(pairs: PairSource, skipped?: SkippedPair[]): Promise<PairsHandle> {
    const { truncate = false } = this.#options;
    const handle = await sendPairs(this.#client, pairs, { truncate, skipped, open: (api) => api.openPairs() });
    this.#handles.push(handle);
    return handle;
  }

  /** How well each pair finds its other half with the weights as they are now. */
  async evaluate(): Promise<Evaluation> {
    const [pairs] = this.#handles as [PairsHandle];
    const retrieval = await this.#client.call((api) => api.evaluate(pairs, this.#distractors));
    const zeroShot = await this.#classify();
    return zeroShot ? { ...retrieval, zeroShot } : retrieval;
  }

  /** The labels' captions are embedded anew each time: the text tower learns too. */
  async #classify(): Promise<Evaluation["zeroShot"]> {
    const [{ zeroShot, truncate = false }, handle] = [this.#options, this.#labelled];
    if (!zeroShot || handle === undefined) return undefined;
    const { labels, templates } = zeroShot;
    if (labels.length === 0)
      throw new ClipError("empty-batch", "empty batch: expected at least 1 labelled image, got 0");
    const matrix = await this.#client.call((api) => api.embedPairImages(handle));
    const images: Embeddings = { ...matrix, normalized: true };
    const names = [...new Set(labels)];
    const options = { truncate, ...(templates !== undefined && { templates }) };
    const classifier = await this.#encoder.zeroShotClassifier(names, options);
    const lists = await classifier.classify(images, { topK: 5 });
    const among = (k: number) =>
      lists.filter((list, i) => list.slice(0, k).some(({ label }) => label === labels[i])).length / lists.length;
    return { top1: among(1), top5: among(5) };
  }

  /** Frees them; nothing to free where the worker is gone. */
  async close(): Promise<void> {
    for (const handle of this.#handles) {
      await this.#client.call((api) => api.closePairs(handle)).catch(() => undefined);
    }
  }
}
