/** A linear probe (arXiv 2103.00020, section 3.2): what can be told from a model's embeddings by a line. */

import { ClipError } from "../workers/error.js";
import type { Matrix } from "../workers/protocol.js";
import { describe } from "./describe.js";
import type { Embeddings } from "./embeddings.js";
import type { ImageInput } from "./images.js";
import { invalidOption } from "./invalid-option.js";
import { bestFirst, type Prediction } from "./zero-shot.js";

/** What a probe needs of a model. */
export interface ProbeModel {
  encodeImage(images: ImageInput | readonly ImageInput[]): Promise<Embeddings>;
  fit(features: Embeddings, classes: Uint32Array, classCount: number, c: number): Promise<Matrix>;
  probabilities(weights: Matrix, features: Embeddings): Promise<Float32Array>;
}

const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === "object" && value !== null && "normalized" in value;

/** Labels, and the weights that tell them apart. */
export class LinearProbe {
  /** What it tells apart, in the order of their first image. */
  readonly labels: readonly string[];
  /** A row a label: a weight for each dimension of an embedding, then the bias. */
  readonly weights: Matrix;
  readonly #model: ProbeModel;

  private constructor(labels: readonly string[], weights: Matrix, model: ProbeModel) {
    this.labels = labels;
    this.weights = weights;
    this.#model = model;
  }

  /** Fits labels to images, one each. */
  static async fit(
    images: readonly ImageInput[] | Embeddings,
    labels: readonly string[],
    { c = 0.316 }: { c?: number },
    model: ProbeModel,
  ): Promise<LinearProbe> {
    const wrong = Array.isArray(labels) ? labels.findIndex((label) => typeof label !== "string") : 0;
    if (wrong !== -1) {
      const got = Array.isArray(labels) ? `${describe(labels[wrong])} at ${wrong}` : describe(labels);
      throw invalidOption("labels", "strings", got);
    }
    const count = isEmbeddings(images) ? images.shape[0] : images.length;
    if (count !== labels.length) {
      throw new ClipError(
        "count-mismatch",
        `count mismatch: expected as many labels as images (${count}), got ${labels.length}`,
      );
    }
    const names = [...new Set(labels)];
    const classes = Uint32Array.from(labels, (label) => names.indexOf(label));
    const features = isEmbeddings(images) ? images : await model.encodeImage(images);
    return new LinearProbe(names, await model.fit(features, classes, names.length, c), model);
  }

  /** The labels that fit an image best, best first; of many images, a list for each. */
  classify(image: ImageInput, options?: { topK?: number }): Promise<Prediction[]>;
  classify(images: readonly ImageInput[] | Embeddings, options?: { topK?: number }): Promise<Prediction[][]>;
  async classify(
    images: ImageInput | readonly ImageInput[] | Embeddings,
    { topK = 5 }: { topK?: number } = {},
  ): Promise<Prediction[] | Prediction[][]> {
    const features = isEmbeddings(images) ? images : await this.#model.encodeImage(images);
    const dim = this.weights.shape[1] - 1;
    if (features.shape[1] !== dim) {
      const got = `[${features.shape.join(", ")}]`;
      throw new ClipError("shape-mismatch", `shape mismatch: embeddings: expected [n, ${dim}], got ${got}`);
    }
    const scores = await this.#model.probabilities(this.weights, features);
    const lists = bestFirst(this.labels, scores, topK);
    return isEmbeddings(images) || Array.isArray(images) ? lists : (lists[0] as Prediction[]);
  }
}
