/** Reads WebDataset shards: tar files whose samples are members of the same name and different extensions. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { asArray } from "../options/as-array.js";
import { checkOptions } from "../options/check.js";
import { integerFrom, type Schema, seed } from "../options/rules.js";
import { expandBraces } from "./brace-expand.js";
import type { ImageTextPair } from "./pairs.js";
import { nameOf, openReadable, type ReadableSource } from "./readable.js";
import { CAPTIONS, type CaptionOptions } from "./sample.js";
import { readTar } from "./tar.js";
import { readSamples } from "./tar-samples.js";

/** A shard: its bytes, a stream of them, an address or a path. */
export type WebDatasetSource = ReadableSource;

/** How shards are read. */
export interface WebDatasetOptions extends CaptionOptions {
  /**
   * Size of the buffer that pairs are shuffled in, in pairs. `fit` needs none: it shuffles all pairs anyway. @default 0
   */
  shuffle?: number;
  /** Seed of the shuffle, an unsigned 32-bit integer. @default 0 */
  seed?: number;
}

const WEB_DATASET = { ...CAPTIONS, shuffle: integerFrom(0), seed } satisfies Schema<WebDatasetOptions>;

async function* readShards(
  sources: readonly WebDatasetSource[],
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  for (const source of sources) {
    try {
      yield* readSamples(readTar(await openReadable(source)), options);
    } catch (error) {
      const { code, message } = toClipError(error);
      const name = nameOf(source)?.slice(0, 200);
      if (name === undefined || message.includes(name)) throw error;
      throw new ClipError(code, `${name}: ${message}`, { cause: error });
    }
  }
}

/** Pseudo-random numbers in [0, 1): splitmix32. */
function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

async function* shuffled<T>(items: AsyncIterable<T>, size: number, seed: number): AsyncGenerator<T, void, undefined> {
  const [buffer, next]: [T[], () => number] = [[], splitmix32(seed)];
  /** Removes a random pair from the buffer; `item` takes its place. */
  const draw = (...item: T[]): T => buffer.splice(Math.floor(next() * buffer.length), 1, ...item)[0] as T;
  for await (const item of items) {
    if (buffer.length < size) buffer.push(item);
    else yield draw(item);
  }
  while (buffer.length > 0) yield draw();
}

/** Reads it for `webDataset` of `datasets.ts`. */
export async function* webDataset(
  shards: WebDatasetSource | readonly WebDatasetSource[],
  options: WebDatasetOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const { shuffle = 0, seed = 0, ...captions } = checkOptions("webDataset()", options, WEB_DATASET);
  const sources = asArray<WebDatasetSource>(shards).flatMap((shard): WebDatasetSource[] =>
    typeof shard === "string" ? expandBraces(shard) : [shard],
  );
  const pairs = readShards(sources, captions);
  yield* shuffle === 0 ? pairs : shuffled(pairs, shuffle, seed);
}
