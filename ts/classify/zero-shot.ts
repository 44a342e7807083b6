/** Zero-shot classification: labels instead of training. */

import type { Embeddings } from "../encode/embeddings.js";
import type { Logits } from "../encode/logits.js";
import { check, checkOptions } from "../options/check.js";
import { describeValue } from "../options/describe.js";
import { invalidOption } from "../options/invalid-option.js";
import { flag, type RuleFor, type Schema, strings } from "../options/rules.js";
import { Classifier, type EncodesImages } from "./classifier.js";
import { TEMPLATES } from "./templates.js";

/** A caption with `{}` where the label goes, a function that writes one, or the name of a set of them. */
export type Template = keyof typeof TEMPLATES | (string & {}) | ((label: string) => string);

/** What a classifier needs of a model. */
export interface ClassifierModel extends EncodesImages {
  /** Returns one embedding a label: the mean of its `perLabel` captions, which follow one another. */
  encodeLabels(captions: string[], perLabel: number, truncate: boolean): Promise<Embeddings>;
  logits(images: Embeddings, texts: Embeddings): Promise<Logits>;
}

const DEFAULT_TEMPLATE = "a photo of a {}.";

/** How labels become captions. */
export interface LabelOptions {
  /** Captions that each label is put into at `{}`, in each place. @default ["a photo of a {}."] */
  templates?: Template | readonly Template[];
  /** Cuts captions longer than the context where they would be refused. @default false */
  truncate?: boolean;
}

const listOf = (templates: unknown): readonly unknown[] => (Array.isArray(templates) ? templates : [templates]);
const isSet = (template: unknown): template is keyof typeof TEMPLATES =>
  typeof template === "string" && Object.hasOwn(TEMPLATES, template);
const isTemplate = (template: unknown) =>
  typeof template === "function" || isSet(template) || (typeof template === "string" && template.includes("{}"));

/** One caption, or several. */
export const TEMPLATE: RuleFor<Template | readonly Template[]> = {
  expected: `captions with {} where the label goes, functions that write them, ${Object.keys(TEMPLATES).join(" or ")}, at least 1 caption`,
  accepts: (value) => listOf(value).length > 0 && listOf(value).every(isTemplate),
  got: (value) =>
    Array.isArray(value) ? describeValue(value.find((one) => !isTemplate(one)) ?? 0) : describeValue(value),
};

const LABEL_OPTIONS = { templates: TEMPLATE, truncate: flag } satisfies Schema<LabelOptions>;

/** What makes the captions of a label. */
function writersOf(templates: Template | readonly Template[]): ((label: string) => string)[] {
  // a text in the place of the function would be a pattern: `$&` and the like are labels' own
  const write = (template: string) => (label: string) => template.replaceAll("{}", () => label);
  return (listOf(templates) as readonly Template[]).flatMap((template) => {
    if (typeof template === "function") return [template];
    return isSet(template) ? TEMPLATES[template].map(write) : [write(template)];
  });
}

/** Labels whose captions are embedded. */
export class ZeroShotClassifier extends Classifier {
  /** One row a label; with the `warnings` of their captions. */
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
    if (wrong !== -1) throw invalidOption("templates", "functions that give captions", describeValue(captions[wrong]));
    const embeddings = await model.encodeLabels(captions, writers.length, truncate);
    return new ZeroShotClassifier([...labels], embeddings, model);
  }

  protected override async scores(images: Embeddings): Promise<Float32Array> {
    return (await this.#model.logits(images, this.embeddings)).probabilities;
  }
}
