/** What tells labels apart, however it came to. */

import { ClipError } from "../../workers/protocol/error.js";
import { checkEmbeddings, type Embeddings, isEmbeddings, isFloats } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { checkOptions } from "../options/check.js";
import { positiveInteger, type Schema } from "../options/rules.js";

/** A label, and how well it fits. */
export interface Prediction {
  label: string;
  /** Index of the label. */
  index: number;
  /** From 0 to 1. Of CLIP and of a probe, the labels' scores sum to 1; of SigLIP, each stands alone. */
  score: number;
}

/** How images are classified. */
export interface ClassifyOptions {
  /** Labels that are given. @default 5 */
  topK?: number;
}

const CLASSIFY = { topK: positiveInteger } satisfies Schema<ClassifyOptions>;

/** What embeds images. */
export interface EncodesImages {
  encodeImage(images: ImageInput | readonly ImageInput[]): Promise<Embeddings>;
}

/** Labels, and how well each fits an image. */
export abstract class Classifier {
  /** What it tells apart. */
  readonly labels: readonly string[];
  readonly #model: EncodesImages;
  readonly #dim: number;

  /** `dim`: values of an embedding. */
  protected constructor(labels: readonly string[], model: EncodesImages, dim: number) {
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

  /** Scores of images, a row each. */
  protected abstract scores(images: Embeddings): Promise<Float32Array>;

  /**
   * The labels that fit an image best, best first; of many images, a list for each. The values of one embedding, as
   * `encodeImages` gives them, stand for its image.
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
