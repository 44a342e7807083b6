/** Sends pairs to the worker, a chunk a message. */

import type { Remote } from "comlink";
import type { TrainingWorkerApi } from "../../workers/protocol/api.js";
import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { PairsHandle, SkippedPair, WirePair } from "../../workers/protocol/train.js";
import { keyOf } from "../inputs/image-address.js";
import { moveBitmaps, toWireImage } from "../inputs/images.js";
import { describeType, describeValue } from "../options/describe.js";
import type { TrainingClient } from "../worker/client.js";
import { type ImageTextPair, openPairs, type PairSource } from "./pairs.js";
import { invalidCharacter } from "./sample.js";

/** Pairs a message: few messages, and few pairs in memory twice. */
const CHUNK = 64;

async function toWirePair(pair: ImageTextPair): Promise<WirePair> {
  const imageKey = keyOf(pair?.image);
  const key = pair?.key ?? (imageKey === undefined ? undefined : excerpt(imageKey));
  const named = typeof key === "string" && { key };
  try {
    if (key !== undefined && typeof key !== "string") {
      throw new ClipError("invalid-dataset", `expected { key: string }, got key: ${describeValue(key)}`);
    }
    if (pair?.error) throw pair.error;
    const more = pair?.moreTexts ?? [];
    if (!Array.isArray(more)) {
      throw new ClipError("invalid-dataset", `expected { moreTexts: string[] }, got moreTexts: ${describeValue(more)}`);
    }
    const texts = [pair?.text, ...more];
    const wrong = texts.findIndex((text) => typeof text !== "string");
    if (wrong !== -1) {
      const got = describeType(texts[wrong]);
      throw new ClipError("invalid-dataset", `expected { image, text: string }, got text: ${got}`);
    }
    const invalid = texts.map((text) => invalidCharacter(text)).find((problem) => problem !== undefined);
    if (invalid !== undefined) throw new ClipError("invalid-dataset", invalid);
    return { image: await toWireImage(pair.image), texts, ...named };
  } catch (error) {
    // the worker throws it or skips the pair, as with images that it cannot decode
    const { code, message } = toClipError(error);
    return { image: { failed: { code, message } }, texts: [], ...named };
  }
}

/** How pairs are sent. */
export interface SendOptions {
  /** Cuts captions longer than the context. */
  truncate: boolean;
  /** Stops between two pairs. */
  signal?: AbortSignal | undefined;
  /** Opens the data set that they are sent to. */
  open: (api: Remote<TrainingWorkerApi>) => Promise<PairsHandle>;
  /** Receives the pairs that are skipped; without it, the first bad pair throws. */
  skipped?: SkippedPair[] | undefined;
}

/**
 * Sends the pairs of a source. The caller closes the handle or hands it on.
 *
 * @throws ClipError `invalid-dataset` where every pair is skipped; without `skipped` the error of the first bad pair
 */
export async function sendPairs(
  client: TrainingClient,
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
      const more = index > 3 ? `; and ${index - 3} more` : "";
      throw new ClipError("invalid-dataset", `none of the ${index} pairs can be used: ${some.join("; ")}${more}`);
    }
    return handle;
  } catch (error) {
    await client.call((api) => api.closePairs(handle)).catch(() => undefined);
    throw error;
  }
}
