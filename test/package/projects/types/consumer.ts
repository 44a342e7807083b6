import { Clip, ClipError, type Embeddings, type Prediction, topK } from "clipwright";
import { type LoadOptions, Clip as OnlyEncoding } from "clipwright/encode";

const KINDS = ["cat", "dog", "bird"] as const;

export async function labelled(model: string, photo: Uint8Array): Promise<Prediction[]> {
  const clip: Clip = await Clip.load(model, { device: "cpu", onProgress: ({ loadedBytes }) => void loadedBytes });
  try {
    const animals = await clip.zeroShotClassifier(KINDS, { templates: "openai" });
    const one: Embeddings = await clip.encodeImage(photo);
    const data: Float32Array = one.data;
    const many: Prediction[][] = await animals.classify([photo, photo]);
    const best: Prediction[] = await animals.classify(photo);
    const { index, score } = topK(one, await clip.encodeText([...KINDS]), { k: 1 })[0] ?? { index: 0, score: 0 };
    void [data, many, index, score];
    for await (const { embedding, error } of clip.encodeImages([photo])) {
      const either: Float32Array | ClipError = error ?? embedding;
      void either;
    }
    return best;
  } catch (error) {
    throw error instanceof ClipError && error.code === "aborted" ? new Error("stopped") : error;
  } finally {
    clip.dispose();
  }
}

// @ts-expect-error a device is one of three
export const refused = () => Clip.load("./model", { device: "tpu" });

// both entries have the same classes
export const same = (model: string, options: LoadOptions): Promise<Clip> => OnlyEncoding.load(model, options);
