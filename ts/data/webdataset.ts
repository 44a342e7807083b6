/** WebDataset: tar files in which the members of one sample share a name and differ in the extension. */

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

/** A shard: its bytes, all at once or as they arrive, or where it is. */
export type WebDatasetSource = ReadableSource;

/** How shards are read. */
export interface WebDatasetOptions extends CaptionOptions {
  /**
   * Pairs that are held back and given in another order, for those who take them one by one or do not take all: `fit` draws
   * its order among all pairs anyway. @default 0
   */
  shuffle?: number;
  /** Decides that order. @default 0 */
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

/** Numbers from 0 to below 1, the same for a seed: splitmix32. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

async function* shuffled<T>(items: AsyncIterable<T>, size: number, seed: number): AsyncGenerator<T, void, undefined> {
  const [held, next]: [T[], () => number] = [[], numbers(seed)];
  /** One of those held; `item` takes its place. */
  const draw = (...item: T[]): T => held.splice(Math.floor(next() * held.length), 1, ...item)[0] as T;
  for await (const item of items) {
    if (held.length < size) held.push(item);
    else yield draw(item);
  }
  while (held.length > 0) yield draw();
}

/**
 * Reads the pairs of one or several shards as they stream, tar files or those compressed by gzip: a picture and a caption
 * (`.txt`) each, which follow one another and whose names are alike up to their first dot. What is a picture is told by its
 * first bytes, whatever its extension. A name stands for several with `{000..123}` or `{a,b}` in it.
 *
 * Every picture and every caption is a pair, or one with an `error` that says what it lacks: `fit` stops at them, or goes
 * without them. Other members are passed over, as are further pictures of a whole sample (`0001.depth.png`).
 *
 * @throws ClipError `invalid-dataset` for what is no tar, and for one that ends inside a member; `source-unreadable`,
 * `invalid-source`
 *
 * @example
 * for await (const event of trainer.fit(() => webDataset("https://…/shard-{000..011}.tar"))) { … }
 */
export async function* webDataset(
  shards: WebDatasetSource | readonly WebDatasetSource[],
  given: WebDatasetOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const { shuffle = 0, seed = 0, ...options } = checkOptions("webDataset()", given, WEB_DATASET);
  const sources = asArray<WebDatasetSource>(shards).flatMap((shard): WebDatasetSource[] =>
    typeof shard === "string" ? expandBraces(shard) : [shard],
  );
  const pairs = readShards(sources, options);
  yield* shuffle === 0 ? pairs : shuffled(pairs, shuffle, seed);
}
