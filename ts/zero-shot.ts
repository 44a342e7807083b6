/** Zero-shot classification: labels instead of training. */

import { Classifier, checkLabels, type EncodesImages } from "./classifier.js";
import type { Logits } from "./clip.js";
import { describe } from "./describe.js";
import type { Embeddings } from "./embeddings.js";
import { invalidOption } from "./invalid-option.js";
import { TEMPLATES } from "./templates.js";

/** A caption with `{}` where the label goes, a function that writes one, or the name of a set of them. */
export type Template = keyof typeof TEMPLATES | (string & {}) | ((label: string) => string);

/** What a classifier needs of a model. */
export interface ClassifierModel extends EncodesImages {
  encodeText(texts: string[]): Promise<Embeddings>;
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

/** Labels whose captions are embedded. */
export class ZeroShotClassifier extends Classifier {
  /** One row a label. */
  readonly embeddings: Embeddings;
  readonly #model: ClassifierModel;

  private constructor(labels: readonly string[], embeddings: Embeddings, model: ClassifierModel) {
    super(labels, model, embeddings.shape[1]);
    this.embeddings = embeddings;
    this.#model = model;
  }

  /** Embeds the labels' captions. */
  static async create(
    labels: readonly string[],
    { templates = DEFAULT_TEMPLATE }: { templates?: Template | readonly Template[] },
    model: ClassifierModel,
  ): Promise<ZeroShotClassifier> {
    checkLabels(labels);
    const writers = captions(templates);
    const prompts = await model.encodeText(labels.flatMap((label) => writers.map((write) => write(label))));
    const embeddings = await model.labelEmbeddings(prompts.data, writers.length);
    return new ZeroShotClassifier([...labels], embeddings, model);
  }

  protected override async scores(images: Embeddings): Promise<Float32Array> {
    return (await this.#model.logits(images, this.embeddings)).probabilities;
  }
}
