/** Measures embeddings, by turns with onnxruntime-web in one page or one process of Node, on the same weights. */

import { Clip } from "clipwright";
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

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** f32 to the bits of f16, truncated; subnormal numbers become 0. */
function toHalf(x) {
  float[0] = x;
  const [bits] = floatBits;
  const [sign, exponent] = [(bits >>> 16) & 0x8000, ((bits >>> 23) & 255) - 112];
  if (exponent <= 0) return sign;
  return exponent >= 31 ? sign | 0x7c00 : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

function fromHalf(half) {
  const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return half & 0x8000 ? -size : size;
}

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

/** The tasks: a name, our call, the peer's input, with pixels in f16 if its model has `half` precision. */
async function tasks(clip, batches, ort, half = false) {
  const { imageSize: size } = clip.info.config.vision;
  const texts = await captions(clip);
  const out = [];
  for (const batch of batches) {
    const pixels = await clip.preprocess(Array.from({ length: batch }, (_, seed) => picture(size, seed)));
    out.push({
      task: `image, batch ${batch}`,
      ours: () => clip.encodeImage({ pixelValues: pixels }),
      tower: "vision",
      feeds: {
        pixel_values: half
          ? new ort.Tensor("float16", Uint16Array.from(pixels, toHalf), [batch, 3, size, size])
          : new ort.Tensor("float32", pixels, [batch, 3, size, size]),
      },
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
async function inFull(base, options, batches, ort) {
  const clip = await Clip.load(base, { ...options, dtype: "f32" });
  const embeddings = [];
  for (const { ours } of await tasks(clip, batches, ort)) embeddings.push((await ours()).data);
  clip.dispose();
  return embeddings;
}

/**
 * Milliseconds of each task, `rounds` times by turns, and the largest difference between embeddings; in a `dtype` of less precision also
 * each side's smallest cosine to f32.
 *
 * `theirs` comes before `.onnx` in the names of the peer's files; `half`: they take and return f16. `ort` is onnxruntime-web, and `read`
 * returns a file where it cannot fetch.
 */
export async function measureEncoding(request, report = () => {}) {
  const { base, provider, dtype = "auto", half = false, theirs: variant = "", batches, rounds, read } = request;
  const ort = request.ort ?? (await import("onnxruntime-web"));
  const options = { device: provider === "webgpu" ? "webgpu" : "cpu", cache: false };
  const whole = (dtype === "q8" || half) && (await inFull(base, options, batches, ort));
  const clip = await Clip.load(base, { ...options, dtype });
  // one thread, or on an isolated page one a core
  const threads = clip.info.device.threads ?? 1;
  ort.env.wasm.wasmPaths ??= "/benchmarks/peers/node_modules/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const session = async (tower) => {
    const file = `${base}${tower}${variant}.onnx`;
    return ort.InferenceSession.create(read ? await read(file) : file, { executionProviders: [provider] });
  };
  const sessions = { vision: await session("vision"), text: await session("text") };
  const rows = [];
  for (const [i, { task, ours, tower, feeds }] of (await tasks(clip, batches, ort, half)).entries()) {
    const theirs = async () => (await sessions[tower].run(feeds)).embeds;
    const [a, b] = [await ours(), await theirs()];
    const [dim, their] = [b.dims[1], normalized(half ? Float32Array.from(b.data, fromHalf) : b.data, b.dims[1])];
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
  const { device, dtype: stored } = clip.info;
  clip.dispose();
  for (const session of Object.values(sessions)) await session.release();
  return { threads, device, dtype: stored, rows };
}
