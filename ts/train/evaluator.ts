/** Evaluates a model by retrieval among pairs, and by zero-shot classification of labelled images. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Evaluation, PairsHandle, SkippedPair, ZeroShotAccuracy } from "../../workers/protocol/train.js";
import { TEMPLATE, type Template, type ZeroShotClassifier } from "../classify/zero-shot.js";
import { PAIRS, type PairSource } from "../data/pairs.js";
import { sendPairs } from "../data/send-pairs.js";
import { toEmbeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { flag, list, nested, required, type Schema, strings } from "../options/rules.js";
import type { TrainingClient } from "../worker/client.js";

/** Labelled images to classify by the names of their labels. */
export interface ZeroShotOptions {
  /** Images to classify. */
  images: readonly ImageInput[];
  /** One label for each image. */
  labels: readonly string[];
  /** One or several templates, as for `zeroShotClassifier`. @default "a photo of a {}." */
  templates?: Template | readonly Template[];
}

/** How a model is evaluated. */
export interface EvaluateOptions {
  /** Pairs whose images and captions are candidates of the retrieval, but not queries. @default none */
  distractors?: PairSource;
  /** Labelled images to classify as well. @default none */
  zeroShot?: ZeroShotOptions;
  /** Cuts captions longer than the context instead of refusing them. @default false */
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

/** Makes classifiers: an encoder. */
export interface ClassifierFactory {
  zeroShotClassifier(
    labels: readonly string[],
    options: { templates?: Template | readonly Template[]; truncate?: boolean },
  ): Promise<ZeroShotClassifier>;
}

/** Validation data in the worker. It is sent once, since a stream can be read only once, and evaluated any number of times. */
export class Evaluator {
  readonly #client: TrainingClient;
  readonly #encoder: ClassifierFactory;
  readonly #options: EvaluateOptions;
  readonly #handles: PairsHandle[] = [];
  #distractors: PairsHandle | undefined;
  #labelled: PairsHandle | undefined;

  private constructor(client: TrainingClient, encoder: ClassifierFactory, options: EvaluateOptions) {
    this.#client = client;
    this.#encoder = encoder;
    this.#options = options;
  }

  /** Sends the data. With `skipped`, bad pairs are skipped, and those of `pairs` added to it. */
  static async open(
    client: TrainingClient,
    encoder: ClassifierFactory,
    pairs: PairSource,
    options: EvaluateOptions,
    skipped?: SkippedPair[],
  ): Promise<Evaluator> {
    const evaluator = new Evaluator(client, encoder, options);
    try {
      const { distractors, zeroShot } = options;
      await evaluator.#send(pairs, skipped);
      if (distractors !== undefined) evaluator.#distractors = await evaluator.#send(distractors, skipped && []);
      if (zeroShot) evaluator.#labelled = await evaluator.#send({ images: zeroShot.images, texts: zeroShot.labels });
      return evaluator;
    } catch (error) {
      await evaluator.close();
      throw error;
    }
  }

  async #send(pairs: PairSource, skipped?: SkippedPair[]): Promise<PairsHandle> {
    const { truncate = false } = this.#options;
    const handle = await sendPairs(this.#client, pairs, { truncate, skipped, open: (api) => api.openPairs() });
    this.#handles.push(handle);
    return handle;
  }

  /** Evaluates the current weights. */
  async evaluate(): Promise<Evaluation> {
    const [pairs] = this.#handles as [PairsHandle];
    const retrieval = await this.#client.call((api) => api.evaluate(pairs, this.#distractors));
    const zeroShot = await this.#classify();
    return zeroShot ? { ...retrieval, zeroShot } : retrieval;
  }

  /** Embeds the labels' captions each time, since the text tower learns too. */
  async #classify(): Promise<ZeroShotAccuracy | undefined> {
    const [{ zeroShot, truncate = false }, handle] = [this.#options, this.#labelled];
    if (!zeroShot || handle === undefined) return undefined;
    const { labels, templates } = zeroShot;
    if (labels.length === 0)
      throw new ClipError("empty-batch", "empty batch: expected at least 1 labelled image, got 0");
    const matrix = await this.#client.call((api) => api.embedPairImages(handle));
    const images = toEmbeddings(matrix);
    const names = [...new Set(labels)];
    const options = { truncate, ...(templates !== undefined && { templates }) };
    const classifier = await this.#encoder.zeroShotClassifier(names, options);
    const lists = await classifier.classify(images, { topK: 5 });
    const among = (k: number) =>
      lists.filter((list, i) => list.slice(0, k).some(({ label }) => label === labels[i])).length / lists.length;
    return { top1: among(1), top5: among(5) };
  }

  /** Frees the data. Errors are ignored: a lost worker has freed it. */
  async close(): Promise<void> {
    for (const handle of this.#handles) {
      await this.#client.call((api) => api.closePairs(handle)).catch(() => undefined);
    }
  }
}
