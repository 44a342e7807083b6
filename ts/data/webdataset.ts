/** WebDataset: tar files in which the members of one sample share a name and differ in the extension. */

import { createTarDecoder } from "modern-tar";
import { ClipError, toClipError } from "../../workers/error.js";
import { asArray } from "../describe.js";
import { invalidOption } from "../invalid-option.js";
import { checked, type Schema, seed, whole } from "../options.js";
import type { ImageTextPair } from "./pairs.js";
import { nameOf, openReadable, type ReadableSource, readAll } from "./readable.js";
import { badSample, CAPTIONS, type CaptionOptions, isImage, sampleOfText } from "./sample.js";

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

const WEB_DATASET = { ...CAPTIONS, shuffle: whole(0), seed } satisfies Schema<WebDatasetOptions>;

const TAR_BLOCK = 512;

/**
 * Whether the bytes seen end as a tar file does: whole blocks, the last of them zeros. A decoder alone takes a file cut
 * between two members for a complete one.
 */
function endWatcher(): { stream: TransformStream<Uint8Array, Uint8Array>; check(): void } {
  let length = 0;
  let zerosAtEnd = 0;
  return {
    stream: new TransformStream({
      transform(chunk, controller) {
        length += chunk.length;
        const lastByte = chunk.findLastIndex((byte) => byte !== 0);
        zerosAtEnd = lastByte === -1 ? zerosAtEnd + chunk.length : chunk.length - 1 - lastByte;
        controller.enqueue(chunk);
      },
    }),
    check() {
      if (length % TAR_BLOCK === 0 && zerosAtEnd >= 2 * TAR_BLOCK) return;
      throw new ClipError(
        "invalid-dataset",
        `truncated tar: expected two blocks of zeros at its end, got ${length} bytes without`,
      );
    },
  };
}

/** Directory and stem, and extension: WebDataset splits at the first dot of the file's name. */
function splitName(path: string): [key: string, extension: string] {
  const dot = path.indexOf(".", path.lastIndexOf("/") + 1);
  return dot === -1 ? [path, ""] : [path.slice(0, dot), path.slice(dot + 1).toLowerCase()];
}

/** The pairs of one shard. */
async function* readShard(
  source: WebDatasetSource,
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const end = endWatcher();
  const entries = (await openReadable(source)).pipeThrough(end.stream).pipeThrough(createTarDecoder({ strict: true }));
  let key: string | undefined;
  let image: Uint8Array | undefined;
  let text: Uint8Array | undefined;

  const finish = (): ImageTextPair | undefined => {
    if (key === undefined || (image === undefined && text === undefined)) return undefined;
    const [has, lacks] = image ? ["a picture", "caption (.txt)"] : ["a caption", "picture (.png, .jpg, .webp)"];
    const pair =
      image === undefined || text === undefined
        ? badSample(key, `expected a picture and a caption, got ${has} without a ${lacks}`)
        : sampleOfText(key, image, text, options);
    key = image = text = undefined;
    return pair;
  };

  try {
    for await (const { header, body } of entries) {
      const [stem, extension] = splitName(header.name);
      const picture = isImage(extension);
      if (header.type !== "file" || !(picture || extension === "txt")) {
        await body.cancel();
        continue;
      }
      if (stem !== key) {
        const pair = finish();
        if (pair) yield pair;
        key = stem;
      }
      const bytes = await readAll(body);
      if (picture) image = bytes;
      else text = bytes;
    }
  } catch (error) {
    if (error instanceof ClipError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new ClipError("invalid-dataset", `expected a whole tar file, got: ${message}`, { cause: error });
  }
  end.check();
  const pair = finish();
  if (pair) yield pair;
}

/** `a/{000..002}.tar` as the three names that it stands for, as the `webdataset` library has it. */
function expand(name: string): string[] {
  const [, before = "", from = "", to = "", after = ""] = /^(.*?)\{(\d+)\.\.(\d+)\}(.*)$/s.exec(name) ?? [];
  if (from === "") return [name];
  const count = Number(to) - Number(from) + 1;
  if (!(count >= 1 && count <= 100_000)) throw invalidOption("shards", "a range that rises", `{${from}..${to}}`);
  const names = Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, "0"));
  return names.flatMap((number) => expand(`${before}${number}${after}`));
}

async function* readShards(
  sources: readonly WebDatasetSource[],
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  for (const source of sources) {
    try {
      yield* readShard(source, options);
    } catch (error) {
      const { code, message } = toClipError(error);
      const name = nameOf(source);
      if (sources.length === 1 || name === undefined || message.includes(name)) throw error;
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
 * Reads the pairs of one or several shards as they stream: a picture (`.png`, `.jpg`, `.webp`) and a caption (`.txt`) each.
 * Other members are passed over. A name stands for several with `{000..123}` in it.
 *
 * @throws ClipError `invalid-dataset` for a truncated tar, `source-unreadable`, `invalid-source`. A picture without a caption
 * and a caption without a picture are pairs with an `error`: `fit` stops at them, or goes without them.
 *
 * @example
 * for await (const event of trainer.fit(() => webDataset("https://…/shard-{000..011}.tar"))) { … }
 */
export async function* webDataset(
  shards: WebDatasetSource | readonly WebDatasetSource[],
  given: WebDatasetOptions = {},
): AsyncGenerator<ImageTextPair, void, undefined> {
  const { shuffle = 0, seed = 0, ...options } = checked("webDataset()", given, WEB_DATASET);
  const sources = asArray<WebDatasetSource>(shards).flatMap((shard): WebDatasetSource[] =>
    typeof shard === "string" ? expand(shard) : [shard],
  );
  const pairs = readShards(sources, options);
  yield* shuffle === 0 ? pairs : shuffled(pairs, shuffle, seed);
}
