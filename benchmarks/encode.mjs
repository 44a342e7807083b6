/** Embeddings here and from onnxruntime-web, by turns in one page, on the same weights. */

import { Clip } from "clipwright";
import * as ort from "onnxruntime-web";
import { picture } from "./picture.mjs";

const WORDS = "a photograph of two dogs that run over a wet meadow in the morning while it rains ";
/** Longer than any context: truncated, so that no position is padding. */
const LONG = WORDS.repeat(8);
const SHORT = "a photo of a cat";

/** Rows of length one. */
function normalized(data, dim) {
  const out = Float32Array.from(data);
  for (let row = 0; row < out.length; row += dim) {
    const norm = Math.hypot(...out.subarray(row, row + dim));
    for (let i = row; i < row + dim; i++) out[i] /= norm;
  }
  return out;
}

const furthest = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

/** Milliseconds a call, over as many as take a fifth of a second. */
async function timed(call) {
  const began = performance.now();
  let calls = 0;
  do {
    await call();
    calls += 1;
  } while (performance.now() - began < 200);
  return (performance.now() - began) / calls;
}

/** What is asked of both: a name, our call and the peer's input. */
async function tasks(clip, batches) {
  const { imageSize: size } = clip.info.config.vision;
  const out = [];
  for (const batch of batches) {
    const images = Array.from({ length: batch }, (_, seed) => picture(size, seed));
    const pixels = await clip.preprocess(images);
    out.push({
      task: `image, batch ${batch}`,
      ours: () => clip.encodeImage({ pixelValues: pixels }),
      tower: "vision",
      feeds: { pixel_values: new ort.Tensor("float32", pixels, [batch, 3, size, size]) },
    });
    const { contextLength } = clip.info.config.text;
    for (const [caption, length] of [
      [LONG, contextLength],
      [SHORT, 7],
    ]) {
      const texts = Array(batch).fill(caption);
      const all = await clip.tokenize(texts, { truncate: true });
      const ids = new BigInt64Array(batch * length);
      for (let i = 0; i < ids.length; i++) {
        ids[i] = BigInt(all[Math.floor(i / length) * contextLength + (i % length)]);
      }
      out.push({
        task: `caption of ${length} tokens, batch ${batch}`,
        ours: () => clip.encodeText(texts, { truncate: true }),
        tower: "text",
        feeds: { input_ids: new ort.Tensor("int64", ids, [batch, length]) },
      });
    }
  }
  return out;
}

/** Milliseconds of each, `rounds` times by turns, and the largest difference of an embedding's values. */
export async function measureEncoding({ base, provider, batches, rounds }, report = () => {}) {
  const clip = await Clip.load(base, { device: provider === "webgpu" ? "webgpu" : "cpu", cache: false });
  // one, or on an isolated page as many as the machine has
  const threads = clip.info.device.threads ?? 1;
  ort.env.wasm.wasmPaths = "/benchmarks/peers/node_modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const session = (tower) => ort.InferenceSession.create(`${base}${tower}.onnx`, { executionProviders: [provider] });
  const sessions = { vision: await session("vision"), text: await session("text") };
  const rows = [];
  for (const { task, ours, tower, feeds } of await tasks(clip, batches)) {
    const theirs = async () => (await sessions[tower].run(feeds)).embeds;
    const [a, b] = [await ours(), await theirs()];
    const difference = furthest(a.data, normalized(b.data, b.dims[1]));
    const row = { task, difference, ours: [], theirs: [] };
    // engines compile what is hot only after a while; what takes seconds a call is neither warmed up nor repeated as often
    const slow = (await timed(ours)) + (await timed(theirs)) > 5_000;
    for (let round = 0; round < (slow ? 3 : rounds); round++) {
      row.ours.push(await timed(ours));
      row.theirs.push(await timed(theirs));
    }
    rows.push(row);
    report(row);
  }
  clip.dispose();
  return { threads, rows };
}
