/**
 * The same training step in TensorFlow.js on its Wasm backend, one thread, in Node: prints a JSON line of milliseconds per repeat.
 * It does less: Adam without weight decay, because it has no AdamW, and frozen token embeddings.
 */

import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(new URL("./peers/package.json", import.meta.url));
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");

const [WIDTH, LAYERS, HEADS, CONTEXT, VOCAB, BATCH, PATCHES, PATCH] = [128, 4, 4, 16, 3909, 256, 16, 192];
const repeats = Number(process.argv[2] ?? 3);

wasm.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`);
await tf.setBackend("wasm");

const parameter = (shape, deviation) => tf.variable(tf.randomNormal(shape, 0, deviation));
const linear = (from, to) => ({ weight: parameter([from, to], from ** -0.5), bias: tf.variable(tf.zeros([to])) });
const norm = () => ({ weight: tf.variable(tf.ones([WIDTH])), bias: tf.variable(tf.zeros([WIDTH])) });
const blocks = () =>
  Array.from({ length: LAYERS }, () => ({
    ln1: norm(),
    qkv: linear(WIDTH, 3 * WIDTH),
    out: linear(WIDTH, WIDTH),
    ln2: norm(),
    fc: linear(WIDTH, 4 * WIDTH),
    proj: linear(4 * WIDTH, WIDTH),
  }));
const model = {
  conv: parameter([PATCH, WIDTH], PATCH ** -0.5),
  classEmbedding: parameter([1, 1, WIDTH], WIDTH ** -0.5),
  positions: parameter([PATCHES + 1, WIDTH], WIDTH ** -0.5),
  ln: [norm(), norm(), norm()],
  visual: blocks(),
  text: blocks(),
  imageProjection: parameter([WIDTH, WIDTH], WIDTH ** -0.5),
  textProjection: parameter([WIDTH, WIDTH], WIDTH ** -0.5),
  textPositions: parameter([CONTEXT, WIDTH], 0.01),
  logitScale: tf.variable(tf.scalar(2.6593)),
};

/** Frozen: the backend has no gradient of gather. */
const tokens = tf.randomNormal([VOCAB, WIDTH], 0, 0.02);

const apply = (x, { weight, bias }) =>
  x
    .reshape([-1, weight.shape[0]])
    .matMul(weight)
    .add(bias)
    .reshape([...x.shape.slice(0, -1), weight.shape[1]]);

function layerNorm(x, { weight, bias }) {
  const centred = x.sub(x.mean(-1, true));
  return centred.div(centred.square().mean(-1, true).add(1e-5).sqrt()).mul(weight).add(bias);
}

function attention(x, { qkv, out }, mask) {
  const [batch, length] = x.shape;
  const heads = (part) => part.reshape([batch, length, HEADS, WIDTH / HEADS]).transpose([0, 2, 1, 3]);
  const [q, k, v] = tf.split(apply(x, qkv), 3, -1).map(heads);
  const scores = tf.matMul(q, k, false, true).mul((WIDTH / HEADS) ** -0.5);
  const weights = tf.softmax(mask ? scores.add(mask) : scores);
  return apply(tf.matMul(weights, v).transpose([0, 2, 1, 3]).reshape([batch, length, WIDTH]), out);
}

function block(x, parts, mask) {
  const y = x.add(attention(layerNorm(x, parts.ln1), parts, mask));
  const hidden = apply(layerNorm(y, parts.ln2), parts.fc);
  return y.add(apply(hidden.mul(hidden.mul(1.702).sigmoid()), parts.proj));
}

const normalized = (x) => x.div(x.square().sum(-1, true).sqrt());
const patches = tf.randomNormal([BATCH, PATCHES, PATCH]);
const ids = tf.randomUniform([BATCH, CONTEXT], 0, VOCAB - 1, "int32");
const mask = tf.linalg
  .bandPart(tf.ones([CONTEXT, CONTEXT]), -1, 0)
  .sub(1)
  .mul(1e9);
const labels = tf.oneHot(tf.range(0, BATCH, 1, "int32"), BATCH);

function loss() {
  const embedded = patches.reshape([-1, PATCH]).matMul(model.conv).reshape([BATCH, PATCHES, WIDTH]);
  let x = tf.concat([model.classEmbedding.tile([BATCH, 1, 1]), embedded], 1).add(model.positions);
  x = model.visual.reduce((x, parts) => block(x, parts), layerNorm(x, model.ln[0]));
  const first = x.slice([0, 0, 0], [BATCH, 1, WIDTH]).reshape([BATCH, WIDTH]);
  const images = normalized(layerNorm(first, model.ln[1]).matMul(model.imageProjection));
  let y = tf.gather(tokens, ids.flatten()).reshape([BATCH, CONTEXT, WIDTH]).add(model.textPositions);
  y = model.text.reduce((y, parts) => block(y, parts, mask), y);
  const last = y.slice([0, CONTEXT - 1, 0], [BATCH, 1, WIDTH]).reshape([BATCH, WIDTH]);
  const texts = normalized(layerNorm(last, model.ln[2]).matMul(model.textProjection));
  const logits = tf.matMul(images, texts, false, true).mul(model.logitScale.exp());
  const cost = (logits) => labels.mul(tf.logSoftmax(logits)).sum().neg().div(BATCH);
  return cost(logits).add(cost(logits.transpose())).div(2);
}

const optimizer = tf.train.adam(1e-3, 0.9, 0.98, 1e-6);
const ms = [];
for (let step = 0; step <= repeats; step++) {
  const began = performance.now();
  const value = optimizer.minimize(loss, true);
  const [number] = await value.data();
  value.dispose();
  if (!Number.isFinite(number)) throw new Error(`expected a finite loss, got ${number}`);
  // the first step compiles
  if (step > 0) ms.push(performance.now() - began);
}
console.log(JSON.stringify({ tfjs: tf.version.tfjs, ms }));
