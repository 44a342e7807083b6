/** Images from a stream of them: in batches, in order, no faster than they are taken. */

import { ClipError } from "../workers/error.js";
import type { Embeddings } from "./embeddings.js";
import type { ImageInput } from "./images.js";
import { invalidOption } from "./invalid-option.js";

/** Embeds each image of a stream: while one batch is embedded, the next is collected, and no more than that. */
export async function* encodeEach(
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  { batchSize = 16 }: { batchSize?: number },
  encode: (batch: ImageInput[]) => Promise<Embeddings>,
): AsyncGenerator<{ index: number; embedding: Float32Array }, void, undefined> {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw invalidOption("batchSize", "a whole number above 0", batchSize);
  }
  if (!(Symbol.asyncIterator in Object(images) || Symbol.iterator in Object(images)) || typeof images === "string") {
    throw new ClipError("invalid-source", `expected an iterable of images, got ${typeof images}`);
  }
  let index = 0;
  async function* rows(running: Promise<Embeddings>) {
    const { data, shape } = await running.catch((error) => {
      throw inStream(error, index);
    });
    const [count, dim] = shape;
    for (let row = 0; row < count; row++) yield { index: index++, embedding: data.slice(row * dim, (row + 1) * dim) };
  }
  let batch: ImageInput[] = [];
  let running: Promise<Embeddings> | undefined;
  const start = () => {
    const next = encode(batch);
    // told of when it is its turn
    next.catch(() => undefined);
    batch = [];
    return next;
  };
  for await (const image of images) {
    batch.push(image);
    if (batch.length < batchSize) continue;
    const done = running;
    running = start();
    if (done) yield* rows(done);
  }
  const last = batch.length > 0 ? start() : undefined;
  if (running) yield* rows(running);
  if (last) yield* rows(last);
}

/** Counts the image from the start of the stream, not of its batch. */
function inStream(error: unknown, first: number): unknown {
  if (!(error instanceof ClipError)) return error;
  const message = error.message.replace(/^image (\d+):/, (_, row) => `image ${first + Number(row)}:`);
  return new ClipError(error.code, message, { cause: error });
}
