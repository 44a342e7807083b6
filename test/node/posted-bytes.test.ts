/** Bytes that cross between the caller and the worker: each value once, in one direction. */

import { Worker } from "node:worker_threads";
import { Clip, TEMPLATES } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fixture, json } from "../support";

/** Bytes of the numbers and texts in a message; files cross by reference. */
function bytesIn(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== "object" || value === null || value instanceof Blob) return 8;
  return Object.values(value).reduce<number>((sum, part) => sum + bytesIn(part), 0);
}

/** Bytes of a call's messages: arguments to the worker, results from it. */
let posted = { there: 0, back: 0 };
const { postMessage, emit } = Worker.prototype;
const MODEL = "models/clip-quickgelu-p8/hf";
let clip: Clip;

beforeAll(async () => {
  Worker.prototype.postMessage = function (this: Worker, message, transfer) {
    posted.there += bytesIn(message);
    return postMessage.call(this, message, transfer);
  };
  Worker.prototype.emit = function (this: Worker, name: string, ...values: unknown[]) {
    if (name === "message") posted.back += bytesIn(values[0]);
    return emit.call(this, name as "message", ...values);
  } as Worker["emit"];
  clip = await Clip.load(
    {
      weights: await fixture(`${MODEL}/model.safetensors`),
      config: await json(`${MODEL}/config.json`),
      tokenizer: await json(`${MODEL}/tokenizer.json`),
    },
    { device: "cpu" },
  );
});
afterAll(() => {
  clip.dispose();
  Object.assign(Worker.prototype, { postMessage, emit });
});

/** Bytes that `call` posts. */
async function bytesOf(call: () => Promise<unknown>): Promise<typeof posted> {
  posted = { there: 0, back: 0 };
  await call();
  return posted;
}

/** Shapes, and what comlink adds to a call. */
const ENVELOPE = 1_000;

test("a classifier's prompts stay in the worker: labels' embeddings alone come back", async () => {
  const labels = Array.from({ length: 100 }, (_, i) => `thing number ${i}`);
  const dim = clip.info.config.embedDim;
  const { there, back } = await bytesOf(() => clip.zeroShotClassifier(labels, { templates: "openai" }));
  const captions = TEMPLATES.openai.length * labels.join("").length + labels.length * TEMPLATES.openai.join("").length;
  expect(there).toBeGreaterThan(captions / 2);
  expect(there).toBeLessThan(captions + ENVELOPE);
  expect(back).toBeGreaterThan(labels.length * dim * 4);
  expect(back).toBeLessThan(labels.length * dim * 4 + ENVELOPE);
});

test("logits come back once, with their probabilities", async () => {
  const rows = 200;
  const dim = clip.info.config.embedDim;
  const unit = { data: new Float32Array(rows * dim).fill(dim ** -0.5), shape: [rows, dim] as [number, number] };
  const embeddings = { ...unit, normalized: true as const };
  const { there, back } = await bytesOf(() => clip.logits(embeddings, embeddings));
  expect(there).toBeGreaterThanOrEqual(2 * rows * dim * 4);
  expect(there).toBeLessThan(2 * rows * dim * 4 + ENVELOPE);
  expect(back).toBeGreaterThan(2 * rows * rows * 4);
  expect(back).toBeLessThan(2 * rows * rows * 4 + ENVELOPE);
});
