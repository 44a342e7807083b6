/** Image–text pairs on their way to the worker. */

import type { Remote } from "comlink";
import type { ClipWorkerApi } from "../../workers/protocol/api.js";
import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { PairsHandle, SkippedPair, WirePair } from "../../workers/protocol/train.js";
import { keyOf } from "../inputs/image-address.js";
import { type ImageInput, moveBitmaps, toWireImage } from "../inputs/images.js";
import { asArray, describe } from "../options/describe.js";
import { check, got, type Kind, list } from "../options/options.js";
import type { WorkerClient } from "../worker/client.js";
import { wrongCharacter } from "./sample.js";

/** A picture and what it shows. */
export interface ImageTextPair {
  image: ImageInput;
  text: string;
  /** Further captions of it: each epoch takes one of all. */
  moreTexts?: readonly string[];
  /** Name in the data set, for messages. */
  key?: string;
  /** Why this is no pair, from a reader of data sets: `fit` stops at it, or goes without it. */
  error?: ClipError;
}

/** Pairs as two lists of equal length; an image with several captions has a list of them. */
export interface PairColumns {
  images: readonly ImageInput[];
  texts: readonly (string | readonly string[])[];
}

/** Pairs one by one, or as two lists. */
export type Pairs = Iterable<ImageTextPair> | AsyncIterable<ImageTextPair> | PairColumns;

/** Pairs, or what opens them each time that they are needed: a stream can be read only once. */
export type PairSource = Pairs | (() => Pairs | Promise<Pairs>);

/** Pairs in one message: few messages, and little held twice. */
const CHUNK = 64;

function* zip({ images, texts }: PairColumns): Generator<ImageTextPair> {
  check("images", images, list("a list of images"));
  check("texts", texts, list("a list of texts"));
  if (images.length !== texts.length) {
    throw new ClipError(
      "count-mismatch",
      `count mismatch: expected as many texts as images (${images.length}), got ${texts.length}`,
    );
  }
  for (const [i, image] of images.entries()) {
    const [text, ...moreTexts] = asArray(texts[i] as string | readonly string[]);
    yield { image, text: text as string, moreTexts };
  }
}

/** Whether the pairs can be had a second time. */
export function canRepeat(source: PairSource): boolean {
  return typeof source === "function" || Array.isArray(source) || ("images" in source && "texts" in source);
}

/** What pairs come from. */
export const PAIRS: Kind<PairSource> = {
  expected: "an iterable of { image, text }, { images, texts } or a function that gives either",
  accepts: (value) =>
    typeof value === "function" ||
    (typeof value === "object" &&
      value !== null &&
      (Symbol.asyncIterator in value || Symbol.iterator in value || ("images" in value && "texts" in value))),
};

/** The pairs of a source, one by one. */
export async function openPairs(source: PairSource): Promise<Iterable<ImageTextPair> | AsyncIterable<ImageTextPair>> {
  const pairs = typeof source === "function" ? await source() : source;
  if (typeof pairs === "object" && pairs !== null) {
    if (Symbol.asyncIterator in pairs || Symbol.iterator in pairs) return pairs;
    if ("images" in pairs && "texts" in pairs) return zip(pairs);
  }
  throw new ClipError(
    "invalid-source",
    `expected an iterable of { image, text } or { images, texts }, got ${describe(pairs)}`,
  );
}

async function toWirePair(pair: ImageTextPair): Promise<WirePair> {
  const own = keyOf(pair?.image);
  const key = pair?.key ?? (own === undefined ? undefined : excerpt(own));
  const named = typeof key === "string" && { key };
  try {
    if (key !== undefined && typeof key !== "string") {
      throw new ClipError("invalid-dataset", `expected { key: string }, got key: ${got(key)}`);
    }
    if (pair?.error) throw pair.error;
    const more = pair?.moreTexts ?? [];
    if (!Array.isArray(more)) {
      throw new ClipError("invalid-dataset", `expected { moreTexts: string[] }, got moreTexts: ${got(more)}`);
    }
    const texts = [pair?.text, ...more];
    const wrong = texts.find((text) => typeof text !== "string");
    if (texts.some((text) => typeof text !== "string")) {
      throw new ClipError("invalid-dataset", `expected { image, text: string }, got text: ${describe(wrong)}`);
    }
    const lost = texts.map((text) => wrongCharacter(text)).find((problem) => problem !== undefined);
    if (lost !== undefined) throw new ClipError("invalid-dataset", lost);
    return { image: await toWireImage(pair.image), texts, ...named };
  } catch (error) {
    // refused or left out over there, with those whose image cannot be decoded
    const { code, message } = toClipError(error);
    return { image: { failed: { code, message } }, texts: [], ...named };
  }
}

/** How pairs are sent. */
export interface SendOptions {
  truncate: boolean;
  signal?: AbortSignal | undefined;
  /** Opens what they are sent into. */
  open: (api: Remote<ClipWorkerApi>) => Promise<PairsHandle>;
  /** Takes the pairs that are left out; without it, the first bad pair is an error. */
  skipped?: SkippedPair[] | undefined;
}

/** Sends pairs to the worker; `signal` stops between them. The handle must be closed or handed on. */
export async function sendPairs(
  client: WorkerClient,
  source: PairSource,
  { truncate, signal, open, skipped }: SendOptions,
): Promise<PairsHandle> {
  const handle = await client.call(open);
  try {
    const pairs = await openPairs(source);
    let chunk: WirePair[] = [];
    let index = 0;
    const flush = async () => {
      const options = { first: index - chunk.length, truncate, skip: skipped !== undefined };
      const left = await client.call((api) => api.pushPairs(handle, moveBitmaps(chunk), options));
      skipped?.push(...left);
      chunk = [];
    };
    for await (const pair of pairs) {
      if (signal?.aborted) break;
      chunk.push(await toWirePair(pair));
      index++;
      if (chunk.length === CHUNK) await flush();
    }
    if (chunk.length > 0) await flush();
    if (skipped && skipped.length > 0 && skipped.length === index) {
      const some = skipped.slice(0, 3).map(({ message }) => message);
      const got = `${index} that cannot: ${some.join("; ")}${index > 3 ? `; and ${index - 3} more` : ""}`;
      throw new ClipError("invalid-dataset", `expected pairs that can be used, got ${got}`);
    }
    return handle;
  } catch (error) {
    await client.call((api) => api.closePairs(handle)).catch(() => undefined);
    throw error;
  }
}
