/** Embeds a stream of images: in batches, in order, no faster than the results are read. */

import type { EncodedImages, NamedImage } from "../../workers/protocol/encode.js";
import { ClipError } from "../../workers/protocol/error.js";
import { keyOf } from "../inputs/image-address.js";
import { type ImageInput, toNamedImage } from "../inputs/images.js";
import { checkOptions } from "../options/check.js";
import { describeValue } from "../options/describe.js";
import { alsoCalled, integerFrom, oneOf, type Schema } from "../options/rules.js";

/** How a stream of images is embedded. */
export interface EncodeImagesOptions {
  /** Images a batch. @default 16 */
  batchSize?: number;
  /**
   * What happens to an image that cannot be read: `"yield"` yields its error in its place, `"stop"` throws it.
   * @default "yield"
   */
  badImages?: "yield" | "stop";
}

const ENCODE_IMAGES = {
  batchSize: integerFrom(1),
  badImages: alsoCalled("onerror skip", oneOf("yield", "stop")),
} satisfies Schema<EncodeImagesOptions>;

/** The embedding of one image of a stream. */
export interface EncodedImage {
  /** Its place in the stream, from 0. */
  index: number;
  /** Path, address or file name of the image, where it has one. */
  key?: string;
  /** The normalized embedding. */
  embedding: Float32Array;
  /** Absent: the image was read. */
  error?: never;
}

/** An image of a stream that cannot be read. */
export interface BadImage {
  /** Its place in the stream, from 0. */
  index: number;
  /** Path, address or file name of the image, where it has one. */
  key?: string;
  /** Absent: the image could not be read. */
  embedding?: never;
  /** Why it cannot be read. */
  error: ClipError;
}

/** Embeds each image of a stream. While one batch is embedded, the next is collected; at most two are in memory. */
export async function* encodeEach(
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: EncodeImagesOptions,
  encode: (batch: NamedImage[], skip: boolean) => Promise<EncodedImages>,
): AsyncGenerator<EncodedImage | BadImage, void, undefined> {
  const { batchSize = 16, badImages = "yield" } = checkOptions("encodeImages()", options, ENCODE_IMAGES);
  if (!(Symbol.asyncIterator in Object(images) || Symbol.iterator in Object(images)) || typeof images === "string") {
    throw new ClipError("invalid-source", `expected an iterable of images, got ${describeValue(images)}`);
  }
  let first = 0;
  const run = async (batch: readonly ImageInput[], from: number): Promise<(EncodedImage | BadImage)[]> => {
    const named = await Promise.all(batch.map((image, i) => toNamedImage(image, from + i)));
    const { embeddings, bad } = await encode(named, badImages === "yield");
    const [{ data, shape }, reasons] = [embeddings, new Map(bad.map((one) => [one.index, one]))];
    const [, dim] = shape;
    let row = 0;
    return batch.map((image, i) => {
      const key = keyOf(image);
      const place = { index: from + i, ...(key !== undefined && { key }) };
      const reason = reasons.get(i);
      if (reason) return { ...place, error: new ClipError(reason.code, reason.message) };
      row++;
      return { ...place, embedding: data.slice((row - 1) * dim, row * dim) };
    });
  };
  let batch: ImageInput[] = [];
  let running: Promise<(EncodedImage | BadImage)[]> | undefined;
  const start = () => {
    const next = run(batch, first);
    // the error is thrown when the batch is awaited
    next.catch(() => undefined);
    first += batch.length;
    batch = [];
    return next;
  };
  for await (const image of images) {
    batch.push(image);
    if (batch.length < batchSize) continue;
    const done = running;
    running = start();
    if (done) yield* await done;
  }
  const last = batch.length > 0 ? start() : undefined;
  if (running) yield* await running;
  if (last) yield* await last;
}
