/** Linear probe: logistic regression on a model's embeddings (arXiv 2103.00020, section 3.2). */

import type { Matrix } from "../../workers/protocol/encode.js";
import { checkEmbeddings, type Embeddings, isEmbeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { check, checkCount, checkOptions } from "../options/check.js";
import { list, positive, type Schema, strings } from "../options/rules.js";
import { Classifier, type ImageEncoder } from "./classifier.js";

/** How a probe is fitted. */
export interface ProbeOptions {
  /** Inverse of the L2 regularization strength, above 0: scikit-learn's `C`. @default 0.316, as in CLIP's paper */
  c?: number;
}

const PROBE = { c: positive } satisfies Schema<ProbeOptions>;

/** The calls of a model that a probe makes. */
export interface ProbeModel extends ImageEncoder {
  fit(features: Embeddings, classes: Uint32Array, classCount: number, c: number): Promise<Matrix>;
  probabilities(weights: Matrix, features: Embeddings): Promise<Float32Array>;
}

/** A linear classifier of embeddings. Its labels are in the order of their first image. */
export class LinearProbe extends Classifier {
  /** `[labels, dimensions + 1]`: the weights of each label, then its bias. */
  readonly weights: Matrix;
  readonly #model: ProbeModel;

  private constructor(labels: readonly string[], weights: Matrix, model: ProbeModel) {
    super(labels, model, weights.shape[1] - 1);
    this.weights = weights;
    this.#model = model;
  }

  /**
   * Fits the probe to images and their labels.
   *
   * @internal
   */
  static async fit(
    images: readonly ImageInput[] | Embeddings,
    labels: readonly string[],
    options: ProbeOptions,
    model: ProbeModel,
  ): Promise<LinearProbe> {
    const { c = 0.316 } = checkOptions("linearProbe()", options, PROBE);
    check("labels", labels, strings);
    if (isEmbeddings(images)) checkEmbeddings("images", images);
    else check("images", images, list<ImageInput>("a list of images, or embeddings"));
    const count = isEmbeddings(images) ? images.shape[0] : images.length;
    checkCount("labels", labels.length, "images", count);
    const names = [...new Set(labels)];
    const classes = Uint32Array.from(labels, (label) => names.indexOf(label));
    const features = isEmbeddings(images) ? images : await model.encodeImage(images);
    return new LinearProbe(names, await model.fit(features, classes, names.length, c), model);
  }

  protected override scores(images: Embeddings): Promise<Float32Array> {
    return this.#model.probabilities(this.weights, images);
  }
}
