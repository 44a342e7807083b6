/** Measures embeddings, by turns with onnxruntime-web in one page, on the same weights. */

import { Clip } from "clipwright";
import * as ort from "onnxruntime-web";
import { picture } from "./picture.mjs";

const WORDS = "a photograph of two dogs that run over a wet meadow in the morning while it rains ";
/** A caption longer than any context: truncated, so that it has no padding. */
const LONG = WORDS.repeat(8);
const SHORT = "a photo of a cat";

/** Normalised rows. */
function normalized(data, dim) {
  const out = Float32Array.from(data);
  for (let row = 0; row < out.length; row += dim) {
    const norm = Math.hypot(...out.subarray(row, row + dim));
    for (let i = row; i < row + dim; i++) out[i] /= norm;
  }
  return out;
}

/** Smallest cosine between normalised rows. */
function leastCosine(a, b, dim) {
  const dot = (row) => a.subarray(row, row + dim).reduce((sum, x, i) => sum + x * b[row + i], 0);
  return Math.min(...Array.from({ length: a.length / dim }, (_, i) => dot(i * dim)));
}

const furthest = (a, b) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

/** Milliseconds a call, averaged over at least a fifth of a second. */
async function timed(call) {
  const began = performance.now();
  let calls = 0;
  do {
    await call();
    calls += 1;
  } while (performance.now() - began < 200);
  return (performance.now() - began) / calls;
}

/** Token ids of a long and a short caption, padded to the context, and their numbers of tokens. */
async function captions(clip) {
  const { contextLength, vocabSize } = clip.info.config.text;
  // SigLIP attends to padding, too, and has no vocabulary here
  if (clip.info.config.objective === "sigmoid") {
    return [
      { ids: Int32Array.from({ length: contextLength }, (_, i) => (i * 7919) % vocabSize), length: contextLength },
    ];
  }
  const ids = await clip.tokenize([LONG, SHORT], { truncate: true });
  return [
    { ids: ids.slice(0, contextLength), length: contextLength },
    { ids: ids.slice(contextLength), length: 7 },
  ];
}

/** Repeats rows to a batch. */
function repeated(row, count) {
  const out = new row.constructor(row.length * count);
  for (let i = 0; i < count; i++) out.set(row, i * row.length);
  return out;
}

/** The tasks: a name, our call, the peer's input. */
async function tasks(clip, batches) {
  const { imageSize: size } = clip.info.config.vision;
  const texts = await captions(clip);
  const out = [];
  for (const batch of batches) {
    const pixels = await clip.preprocess(Array.from({ length: batch }, (_, seed) => picture(size, seed)));
    out.push({
      task: `image, batch ${batch}`,
      ours: () => clip.encodeImage({ pixelValues: pixels }),
      tower: "vision",
      feeds: { pixel_values: new ort.Tensor("float32", pixels, [batch, 3, size, size]) },
    });
    for (const { ids, length } of texts) {
      const inputIds = repeated(ids, batch);
      const theirs = repeated(BigInt64Array.from(ids.subarray(0, length), BigInt), batch);
      out.push({
        task: `caption of ${length} tokens, batch ${batch}`,
        ours: () => clip.encodeText({ inputIds }),
        tower: "text",
        feeds: { input_ids: new ort.Tensor("int64", theirs, [batch, length]) },
      });
    }
  }
  return out;
}

/** Embeddings of every task in f32. */
async function inFull(base, options, batches) {
  const clip = await Clip.load(base, options);
  const embeddings = [];
  for (const { ours } of await tasks(clip, batches)) embeddings.push((await ours()).data);
  clip.dispose();
  return embeddings;
}

/**
 * Milliseconds of each task, `rounds` times by turns, and the largest difference between embeddings; with 8-bit weights (`q8`) also
 * each side's smallest cosine to f32.
 */
export async function measureEncoding({ base, provider, q8, batches, rounds }, report = () => {}) {
  const options = { device: provider === "webgpu" ? "webgpu" : "cpu", cache: false };
  const whole = q8 && (await inFull(base, options, batches));
  const clip = await Clip.load(base, { ...options, ...(q8 && { dtype: "q8" }) });
  // one thread, or on an isolated page one a core
  const threads = clip.info.device.threads ?? 1;
  ort.env.wasm.wasmPaths = "/benchmarks/peers/node_modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const session = (tower) =>
    ort.InferenceSession.create(`${base}${tower}${q8 ? ".q8" : ""}.onnx`, { executionProviders: [provider] });
  const sessions = { vision: await session("vision"), text: await session("text") };
  const rows = [];
  for (const [i, { task, ours, tower, feeds }] of (await tasks(clip, batches)).entries()) {
    const theirs = async () => (await sessions[tower].run(feeds)).embeds;
    const [a, b] = [await ours(), await theirs()];
    const [dim, their] = [b.dims[1], normalized(b.data, b.dims[1])];
    const near = (embeddings) => leastCosine(embeddings, whole[i], dim);
    const row = {
      task,
      difference: furthest(a.data, their),
      ...(whole && { cosine: { ours: near(a.data), theirs: near(their) } }),
      ours: [],
      theirs: [],
    };
    // warm up, because engines optimise hot code late; calls that take seconds are repeated less
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
