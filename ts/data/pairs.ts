/** Image–text pairs, in the forms that callers give them. */

import { ClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { asArray } from "../options/as-array.js";
import { check, checkCount } from "../options/check.js";
import { describeType } from "../options/describe.js";
import { list, type RuleFor } from "../options/rules.js";

/** An image and its captions. */
export interface ImageTextPair {
  /** Image. */
  image: ImageInput;
  /** Caption. */
  text: string;
  /** Further captions of the image: each epoch uses one of all. @default none */
  moreTexts?: readonly string[];
  /** Name in the data set, for messages. @default the image's path, address or file name */
  key?: string;
  /** Set by dataset readers where the pair cannot be used: `fit` throws it, or skips the pair. */
  error?: ClipError;
}

/** Pairs as two lists of equal length. */
export interface PairColumns {
  /** Images. */
  images: readonly ImageInput[];
  /** One caption, or a list of captions, for each image. */
  texts: readonly (string | readonly string[])[];
}

/** Pairs one by one, or as two lists. */
export type Pairs = Iterable<ImageTextPair> | AsyncIterable<ImageTextPair> | PairColumns;

/** Pairs, or a function that opens them each time they are read: a stream can be read only once. */
export type PairSource = Pairs | (() => Pairs | Promise<Pairs>);

export const PAIRS: RuleFor<PairSource> = {
  expected: "an iterable of { image, text }, { images, texts } or a function that returns either",
  accepts: (value) =>
    typeof value === "function" ||
    (typeof value === "object" &&
      value !== null &&
      (Symbol.asyncIterator in value || Symbol.iterator in value || ("images" in value && "texts" in value))),
};

function* zip({ images, texts }: PairColumns): Generator<ImageTextPair> {
  check("images", images, list("a list of images"));
  check("texts", texts, list("a list of texts"));
  checkCount("texts", texts.length, "images", images.length);
  for (const [i, image] of images.entries()) {
    const [text, ...moreTexts] = asArray(texts[i] as string | readonly string[]);
    yield { image, text: text as string, moreTexts };
  }
}

/** Whether pairs can be read a second time. */
export function canRepeat(source: PairSource): boolean {
  return typeof source === "function" || Array.isArray(source) || ("images" in source && "texts" in source);
}

/**
 * Returns the pairs of a source one by one.
 *
 * @throws ClipError `invalid-source`; while they are read `invalid-option`, `count-mismatch`
 */
export async function openPairs(source: PairSource): Promise<Iterable<ImageTextPair> | AsyncIterable<ImageTextPair>> {
  const pairs = typeof source === "function" ? await source() : source;
  if (typeof pairs === "object" && pairs !== null) {
    if (Symbol.asyncIterator in pairs || Symbol.iterator in pairs) return pairs;
    if ("images" in pairs && "texts" in pairs) return zip(pairs);
  }
  throw new ClipError(
    "invalid-source",
    `expected an iterable of { image, text } or { images, texts }, got ${describeType(pairs)}`,
  );
}
