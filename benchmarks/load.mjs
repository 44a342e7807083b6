/** Measures an empty page to the first image's embedding, here or in transformers.js, one library a page. */

import { picture } from "./picture.mjs";

const libraries = {
  async clipwright({ base, model, device, side }) {
    const { Clip } = await import("clipwright");
    const clip = await Clip.load(`${base}models/${model}/`, {
      device: device === "wasm" ? "cpu" : device,
      towers: "image",
    });
    return (await clip.encodeImage([picture(side, 0)])).data;
  },
  async transformers({ base, model, device, side }) {
    const { AutoProcessor, CLIPVisionModelWithProjection, env, RawImage } = await import("@huggingface/transformers");
    env.allowLocalModels = false;
    env.remoteHost = base;
    env.remotePathTemplate = "models/{model}/";
    const dist = "/benchmarks/peers/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/";
    env.backends.onnx.wasm.wasmPaths = dist;
    env.backends.onnx.wasm.numThreads = 1;
    const options = { device, dtype: "fp32" };
    const [processor, vision] = await Promise.all([
      AutoProcessor.from_pretrained(model),
      CLIPVisionModelWithProjection.from_pretrained(model, options),
    ]);
    const { embeds } = await vision(await processor(new RawImage(picture(side, 0).data, side, side, 3)));
    const norm = Math.hypot(...embeds.data);
    return embeds.data.map((x) => x / norm);
  },
};

/** Milliseconds to the embedding, and the embedding. */
export async function firstEmbedding(library, request) {
  const began = performance.now();
  const embedding = await libraries[library](request);
  return { ms: performance.now() - began, embedding: Array.from(embedding) };
}
