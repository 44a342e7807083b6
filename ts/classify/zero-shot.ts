/** Zero-shot classification: labels become captions, captions become embeddings. */

import type { Embeddings } from "../encode/embeddings.js";
import type { Logits } from "../encode/logits.js";
import { check, checkOptions } from "../options/check.js";
import { describeValue } from "../options/describe.js";
import { invalidOption } from "../options/invalid-option.js";
import { alsoCalled, flag, type RuleFor, type Schema, strings } from "../options/rules.js";
import { Classifier, type ImageEncoder } from "./classifier.js";
import { TEMPLATES } from "./templates.js";

/** A caption with `{}` in place of the label, a function from label to caption, or the name of a set of {@link TEMPLATES}. */
export type Template = keyof typeof TEMPLATES | (string & {}) | ((label: string) => string);

/** The calls of a model that a classifier makes. */
export interface ClassifierModel extends ImageEncoder {
  /** Returns one embedding a label: the mean of its `perLabel` consecutive captions. */
  encodeLabels(captions: string[], perLabel: number, truncate: boolean): Promise<Embeddings>;
  logits(images: Embeddings, texts: Embeddings): Promise<Logits>;
}

const DEFAULT_TEMPLATE = "a photo of a {}.";

/** How labels become captions. */
export interface LabelOptions {
  /**
   * One or several templates; a label's embedding is the normalized mean of its captions' embeddings. `"openai"` stands for the 80
   * of CLIP's paper. @default "a photo of a {}."
   */
  templates?: Template | readonly Template[];
  /** Cuts captions longer than the context instead of refusing them. @default false */
  truncate?: boolean;
}

const listOf = (templates: unknown): readonly unknown[] => (Array.isArray(templates) ? templates : [templates]);
const isSet = (template: unknown): template is keyof typeof TEMPLATES =>
  typeof template === "string" && Object.hasOwn(TEMPLATES, template);
const isTemplate = (template: unknown) =>
  typeof template === "function" || isSet(template) || (typeof template === "string" && template.includes("{}"));

export const TEMPLATE: RuleFor<Template | readonly Template[]> = {
  expected: `one or more captions with {} in place of the label, functions that return them, or ${Object.keys(TEMPLATES).join(" or ")}`,
  accepts: (value) => listOf(value).length > 0 && listOf(value).every(isTemplate),
  got: (value) =>
    Array.isArray(value) ? describeValue(value.find((one) => !isTemplate(one)) ?? 0) : describeValue(value),
};

const LABEL_OPTIONS = {
  templates: alsoCalled("prompts", TEMPLATE),
  truncate: alsoCalled("truncation", flag),
} satisfies Schema<LabelOptions>;

/** Returns functions from label to caption, one a template. */
function writersOf(templates: Template | readonly Template[]): ((label: string) => string)[] {
  // a replacement string would interpret `$&` and the like in labels
  const write = (template: string) => (label: string) => template.replaceAll("{}", () => label);
  return (listOf(templates) as readonly Template[]).flatMap((template) => {
    if (typeof template === "function") return [template];
    return isSet(template) ? TEMPLATES[template].map(write) : [write(template)];
  });
}

/** Scores images by the captions of labels. */
export class ZeroShotClassifier extends Classifier {
  /** Embeddings of the labels, one row each, with the warnings of their captions. */
  readonly embeddings: Embeddings;
  readonly #model: ClassifierModel;

  private constructor(labels: readonly string[], embeddings: Embeddings, model: ClassifierModel) {
    super(labels, model, embeddings.shape[1]);
    this.embeddings = embeddings;
    this.#model = model;
  }

  /**
   * Embeds the labels' captions.
   *
   * @internal
   */
  static async create(
    labels: readonly string[],
    options: LabelOptions,
    model: ClassifierModel,
  ): Promise<ZeroShotClassifier> {
    const { templates = DEFAULT_TEMPLATE, truncate = false } = checkOptions(
      "zeroShotClassifier()",
      options,
      LABEL_OPTIONS,
    );
    check("labels", labels, strings);
    const writers = writersOf(templates);
    const captions = labels.flatMap((label) => writers.map((write) => write(label)));
    const wrong = captions.findIndex((caption) => typeof caption !== "string");
    if (wrong !== -1) throw invalidOption("templates", "functions that return strings", describeValue(captions[wrong]));
    const embeddings = await model.encodeLabels(captions, writers.length, truncate);
    return new ZeroShotClassifier([...labels], embeddings, model);
  }

  protected override async scores(images: Embeddings): Promise<Float32Array> {
    return (await this.#model.logits(images, this.embeddings)).probabilities;
  }
}
