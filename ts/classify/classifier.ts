/** The base of zero-shot classifiers and linear probes. */

import { ClipError } from "../../workers/protocol/error.js";
import { checkEmbeddings, type Embeddings, isEmbeddings, isFloats } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { checkOptions } from "../options/check.js";
import { alsoCalled, positiveInteger, type Schema } from "../options/rules.js";

/** A label and its score. */
export interface Prediction {
  /** The label. */
  label: string;
  /** Index of the label in `labels`. */
  index: number;
  /** Probability, from 0 to 1. The labels' scores sum to 1 with CLIP and with a probe; with SigLIP each is independent. */
  score: number;
}

/** How images are classified. */
export interface ClassifyOptions {
  /** Number of labels to return for each image. @default 5 */
  topK?: number;
}

const CLASSIFY = { topK: alsoCalled("limit", positiveInteger) } satisfies Schema<ClassifyOptions>;

/** A model that embeds images. */
export interface ImageEncoder {
  encodeImage(images: ImageInput | readonly ImageInput[]): Promise<Embeddings>;
}

/** Scores an image by labels. */
export abstract class Classifier {
  /** Labels that it can predict. */
  readonly labels: readonly string[];
  readonly #model: ImageEncoder;
  readonly #dim: number;

  /**
   * @param dim - dimensions of an embedding
   * @internal
   */
  protected constructor(labels: readonly string[], model: ImageEncoder, dim: number) {
    this.labels = labels;
    this.#model = model;
    this.#dim = dim;
  }

  async #embeddings(images: ImageInput | Float32Array | readonly ImageInput[] | Embeddings): Promise<Embeddings> {
    if (isFloats(images)) return { data: images, shape: [1, images.length], normalized: true };
    if (!isEmbeddings(images)) return this.#model.encodeImage(images);
    checkEmbeddings("images", images);
    return images;
  }

  /**
   * Returns `[images, labels]` scores, row by row.
   *
   * @internal
   */
  protected abstract scores(images: Embeddings): Promise<Float32Array>;

  /**
   * Returns the best labels of an image, best first; of several images, one list each. An image can be given as its embedding,
   * such as `encodeImages` yields.
   *
   * @throws ClipError `invalid-option`, `shape-mismatch`, and those of `encodeImage`
   */
  classify(image: ImageInput | Float32Array, options?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[] | Embeddings, options?: ClassifyOptions): Promise<Prediction[][]>;
  async classify(
    images: ImageInput | Float32Array | readonly ImageInput[] | Embeddings,
    options: ClassifyOptions = {},
  ): Promise<Prediction[] | Prediction[][]> {
    const { topK = 5 } = checkOptions("classify()", options, CLASSIFY);
    const embeddings = await this.#embeddings(images);
    const [rows, dim] = embeddings.shape;
    if (dim !== this.#dim) {
      const got = `[${embeddings.shape.join(", ")}]`;
      throw new ClipError("shape-mismatch", `shape mismatch: embeddings: expected [n, ${this.#dim}], got ${got}`);
    }
    const scores = await this.scores(embeddings);
    const columns = this.labels.length;
    const lists = Array.from({ length: rows }, (_, row) =>
      this.labels
        .map((label, index) => ({ label, index, score: scores[row * columns + index] as number }))
        .sort((a, b) => b.score - a.score || a.index - b.index)
        .slice(0, topK),
    );
    return isEmbeddings(images) || Array.isArray(images) ? lists : (lists[0] as Prediction[]);
  }
}
