/** Calls that encode. */

import { transfer } from "comlink";
import { loadImage } from "../loading/images.js";
import type { EncodingApi } from "../protocol/api.js";
import type { EncodedImages, EncodedTexts, NamedImage } from "../protocol/encode.js";
import type { ClipModel, ImageBatch } from "../runtime/wasm.js";
import { toMatrix } from "./matrix.js";
import { pushImage, type Settled } from "./push-image.js";
import type { Session } from "./session.js";
import { unseenWarning } from "./unseen-warning.js";

/** Runs `use` on a batch of images, decoded in the module. An image that cannot be read is added to `bad`, or thrown without it. */
async function withBatch<T>(
  model: ClipModel,
  images: NamedImage[],
  loaded: Settled[],
  bad: EncodedImages["bad"] | undefined,
  use: (batch: ImageBatch) => Promise<T> | T,
): Promise<T> {
  const batch = model.imageBatch();
  try {
    for (const [index, { name }] of images.entries()) {
      const reason = pushImage(name, loaded[index] as Settled, bad !== undefined, (image) => {
        if ("encoded" in image) batch.pushEncoded(image.encoded);
        else batch.pushRaw(image.width, image.height, image.data);
      });
      if (reason) bad?.push({ index, ...reason });
    }
    return await use(batch);
  } finally {
    batch.free();
  }
}

/** Answers the calls for a session. */
export function encodingCalls(session: Session): EncodingApi {
  /** Loads images all at once, outside the queue. */
  const loadImages = (images: NamedImage[]): Promise<Settled[]> =>
    Promise.allSettled(images.map(({ image }) => loadImage(image, session.platform.readPath)));

  const tokenize = (model: ClipModel, texts: string[], truncate: boolean): Int32Array => {
    if (!session.tokenizer || texts.length === 0) return model.tokenize(texts, truncate);
    return session.tokenizer.tokenize(texts, model.contextLength, truncate);
  };

  const embedTexts = (
    texts: string[],
    truncate: boolean,
    embed: (model: ClipModel, ids: Int32Array) => Promise<Float32Array>,
  ): Promise<EncodedTexts> =>
    session.queueOnModel(async (model) => {
      const data = await embed(model, tokenize(model, texts, truncate));
      const warnings = model.hasCutVocabulary ? unseenWarning(model.unseenWords(texts)) : [];
      return transfer({ ...toMatrix(data, model.embedDim), warnings }, [data.buffer]);
    });

  return {
    async encodeImage(images, skip) {
      const loaded = await loadImages(images);
      const bad: EncodedImages["bad"] = [];
      const embeddings = await session.queueOnModel(async (model) => {
        const data = await withBatch(model, images, loaded, skip ? bad : undefined, (batch) =>
          bad.length > 0 && bad.length === images.length ? new Float32Array() : model.encodeImages(batch),
        );
        return toMatrix(data, model.embedDim);
      });
      return transfer({ embeddings, bad }, [embeddings.data.buffer]);
    },

    encodeText: (texts, truncate) => embedTexts(texts, truncate, (model, ids) => model.encodeIds(ids)),

    encodeLabels: (captions, perLabel, truncate) =>
      embedTexts(captions, truncate, (model, ids) => model.encodeLabels(ids, perLabel)),

    encodePixels: (pixels) =>
      session.queueOnModel(async (model) => toMatrix(await model.encodePixels(pixels), model.embedDim)),

    encodeIds: (ids) => session.queueOnModel(async (model) => toMatrix(await model.encodeIds(ids), model.embedDim)),

    tokenize: (texts, truncate) => session.queueOnModel((model) => tokenize(model, texts, truncate)),

    async preprocess(images) {
      const loaded = await loadImages(images);
      return session.queueOnModel((model) =>
        withBatch(model, images, loaded, undefined, (batch) => {
          const pixels = batch.pixels();
          return transfer(pixels, [pixels.buffer]);
        }),
      );
    },

    logits: (images, texts) =>
      session.queueOnModel(async (model) => {
        const logits = await model.logitsPerImage(images, texts);
        const columns = texts.length / model.embedDim;
        const probabilities = model.probabilities(logits, columns);
        const shape: [number, number] = [logits.length / columns, columns];
        return transfer({ logits, probabilities, shape }, [logits.buffer, probabilities.buffer]);
      }),
  };
}
