/** Zero-shot classification: labels instead of training. */

import type { Logits } from "./clip.js";
import { describe } from "./describe.js";
import type { Embeddings } from "./embeddings.js";
import type { ImageInput } from "./images.js";
import { invalidOption } from "./invalid-option.js";
import { TEMPLATES } from "./templates.js";

/** A caption with `{}` where the label goes, a function that writes one, or the name of a set of them. */
export type Template = keyof typeof TEMPLATES | (string & {}) | ((label: string) => string);

/** A label, and how well it fits. */
export interface Prediction {
  label: string;
  /** Index of the label. */
  index: number;
  /** From 0 to 1. Of CLIP, the labels' scores sum to 1; of SigLIP, each stands alone. */
  score: number;
}

/** What a classifier needs of a model. */
export interface ClassifierModel {
  encodeText(texts: string[]): Promise<Embeddings>;
  encodeImage(images: ImageInput | readonly ImageInput[]): Promise<Embeddings>;
  labelEmbeddings(prompts: Float32Array, perLabel: number): Promise<Embeddings>;
  logits(images: Embeddings, texts: Embeddings): Promise<Logits>;
}

const DEFAULT_TEMPLATE = "a photo of a {}.";

function captions(templates: Template | readonly Template[]): ((label: string) => string)[] {
  const list = (Array.isArray(templates) ? templates : [templates]) as readonly Template[];
  const writers = list.flatMap((template): ((label: string) => string)[] => {
    if (typeof template === "function") return [template];
    if (typeof template === "string" && Object.hasOwn(TEMPLATES, template)) {
      return TEMPLATES[template as keyof typeof TEMPLATES].map((text) => (label) => text.replaceAll("{}", label));
    }
    if (typeof template === "string" && template.includes("{}")) return [(label) => template.replaceAll("{}", label)];
    const got = typeof template === "string" ? JSON.stringify(template) : describe(template);
    throw invalidOption("templates", `captions with {}, or ${Object.keys(TEMPLATES).join(" or ")}`, got);
  });
  if (writers.length === 0) {
    throw invalidOption("templates", "at least 1 caption", 0);
  }
  return writers;
}

/** The `topK` best labels of each row of scores, best first. */
export function bestFirst(labels: readonly string[], scores: Float32Array, topK: number): Prediction[][] {
  if (!(Number.isInteger(topK) && topK > 0)) {
    throw invalidOption("topK", "a whole number above 0", topK);
  }
  const columns = labels.length;
  return Array.from({ length: scores.length / columns }, (_, row) =>
    labels
      .map((label, index) => ({ label, index, score: scores[row * columns + index] as number }))
      .sort((a, b) => b.score - a.score || a.index - b.index)
      .slice(0, topK),
  );
}

/** Labels whose captions are embedded. */
export class ZeroShotClassifier {
  /** What it tells apart. */
  readonly labels: readonly string[];
  /** One row a label. */
  readonly embeddings: Embeddings;
  readonly #model: ClassifierModel;

  private constructor(labels: readonly string[], embeddings: Embeddings, model: ClassifierModel) {
    this.labels = labels;
    this.embeddings = embeddings;
    this.#model = model;
  }

  /** Embeds the labels' captions. */
  static async create(
    labels: readonly string[],
    { templates = DEFAULT_TEMPLATE }: { templates?: Template | readonly Template[] },
    model: ClassifierModel,
  ): Promise<ZeroShotClassifier> {
    const wrong = Array.isArray(labels) ? labels.findIndex((label) => typeof label !== "string") : 0;
    if (wrong !== -1) {
      const got = Array.isArray(labels) ? `${describe(labels[wrong])} at ${wrong}` : describe(labels);
      throw invalidOption("labels", "strings", got);
    }
    const writers = captions(templates);
    const prompts = await model.encodeText(labels.flatMap((label) => writers.map((write) => write(label))));
    const embeddings = await model.labelEmbeddings(prompts.data, writers.length);
    return new ZeroShotClassifier([...labels], embeddings, model);
  }

  /** The labels that fit an image best, best first; of many images, a list for each. */
  classify(image: ImageInput, options?: { topK?: number }): Promise<Prediction[]>;
  classify(images: readonly ImageInput[] | Embeddings, options?: { topK?: number }): Promise<Prediction[][]>;
  async classify(
    images: ImageInput | readonly ImageInput[] | Embeddings,
    { topK = 5 }: { topK?: number } = {},
  ): Promise<Prediction[] | Prediction[][]> {
    const ready = typeof images === "object" && images !== null && "normalized" in images;
    const embeddings = ready ? images : await this.#model.encodeImage(images);
    const { probabilities } = await this.#model.logits(embeddings, this.embeddings);
    const lists = bestFirst(this.labels, probabilities, topK);
    return ready || Array.isArray(images) ? lists : (lists[0] as Prediction[]);
  }
}
