/** Odd values in place of files, images, texts, pairs and embeddings: each gives a result or a ClipError. */

import {
  Clip,
  ClipTrainer,
  captionTable,
  type Embeddings,
  estimateFit,
  imageFolder,
  isClipError,
  rowSimilarities,
  topK,
  webDataset,
  type ZeroShotClassifier,
} from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

let trainer: ClipTrainer;
let words: Embeddings;
let classifier: ZeroShotClassifier;

beforeAll(async () => {
  trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
  for await (const _ of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 1, warmup: 0 }));
  words = await trainer.encodeText("red 0");
  classifier = await trainer.zeroShotClassifier(["red 0", "green 0"], { templates: "{}" });
});
afterAll(() => trainer.dispose());

const all = async (stream: AsyncIterable<unknown>) => {
  for await (const _ of stream);
};
const circle: Record<string, unknown> = {};
circle.itself = circle;
const tagged = (tag: string) => ({ [Symbol.toStringTag]: tag });
const [own] = colourPairs(1);

const VALUES: unknown[] = [
  undefined,
  null,
  7,
  Number.NaN,
  true,
  1n,
  Symbol("symbol"),
  () => 7,
  {},
  Object.create(null),
  circle,
  new Date(0),
  new Map([[1, 2]]),
  [7],
  [null],
  [[]],
  new Array(2),
  new Float32Array(3),
  new BigInt64Array(2),
  { normalized: true },
  { normalized: true, data: new Float32Array(16), shape: [1, 17] },
  { pixelValues: null },
  { inputIds: {} },
  { data: 7, width: 1, height: 1 },
  { images: 7, texts: 7 },
  { images: null, texts: [] },
  { images: [1], texts: "a" },
  [{ image: null, text: "a" }],
  [{ ...own, moreTexts: "letters" }],
  [{ ...own, key: 7 }],
  { weights: null },
  { weights: [] },
  { kind: "directory" },
  { getFile: 7 },
  // objects that only claim to be of a class
  ...["Blob", "File", "URL", "ArrayBuffer", "Response", "ReadableStream", "HTMLImageElement", "ImageBitmap"].map(
    tagged,
  ),
];

const create = { config: tinyConfig, device: "cpu" as const };
const CALLS: [string, (value: never) => unknown][] = [
  ["Clip.load", (value) => Clip.load(value, { device: "cpu" })],
  ["adapter", (value) => Clip.load({ weights: new Uint8Array() }, { device: "cpu", adapter: value })],
  ["ClipTrainer.create", (value) => ClipTrainer.create(value)],
  ["from", (value) => ClipTrainer.create({ from: value, device: "cpu" })],
  ["config", (value) => ClipTrainer.create({ config: value, device: "cpu" })],
  ["ClipTrainer.resume", (value) => ClipTrainer.resume(value, { device: "cpu" })],
  ["fit", (value) => all(trainer.fit(value, { batchSize: 4, epochs: 1 }))],
  ["evaluate", (value) => trainer.evaluate(value)],
  ["distractors", (value) => trainer.evaluate(colourPairs(2), { distractors: value })],
  ["estimateFit", (value) => estimateFit(create, value, { batchSize: 4, epochs: 1 })],
  ["encodeImage", (value) => trainer.encodeImage(value)],
  ["encodeImage of many", (value) => trainer.encodeImage([value])],
  ["encodeImages", (value) => all(trainer.encodeImages(value))],
  ["preprocess", (value) => trainer.preprocess(value)],
  ["encodeText", (value) => trainer.encodeText(value)],
  ["tokenize", (value) => trainer.tokenize(value)],
  ["logits of images", (value) => trainer.logits(value, words)],
  ["logits of texts", (value) => trainer.logits(words, value)],
  ["zeroShotClassifier", (value) => trainer.zeroShotClassifier(value)],
  ["classify", (value) => classifier.classify(value)],
  ["linearProbe of images", (value) => trainer.linearProbe(value, ["a", "b"])],
  ["linearProbe of labels", (value) => trainer.linearProbe(words, value)],
  ["gradients", (value) => trainer.gradients(value)],
  ["topK of queries", (value) => topK(value, words)],
  ["topK of items", (value) => topK(words, value)],
  ["rowSimilarities", (value) => rowSimilarities(words, value)],
  ["imageFolder", (value) => all(imageFolder(value))],
  ["webDataset", (value) => all(webDataset(value))],
  ["captionTable", (value) => all(captionTable(value))],
  ["saveCheckpoint", (value) => value !== undefined && trainer.saveCheckpoint(value)],
];

test.each(CALLS)("%s", async (_, call) => {
  let refused = 0;
  for (const value of VALUES) {
    try {
      const made = await call(value as never);
      if (made instanceof Clip || made instanceof ClipTrainer) made.dispose();
    } catch (error) {
      if (!isClipError(error)) throw error;
      expect(error.message).toMatch(/expected|got|takes|has no|cannot/);
      expect(["unexpected", "panicked", "worker-lost"], error.message).not.toContain(error.code);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(5);
  // the worker still answers
  expect((await trainer.encodeText("red 0")).data).toEqual(words.data);
});

const LONG = "long".repeat(2000);
test.each<[string, () => unknown]>([
  ["an address", () => Clip.load(`http://127.0.0.1:9/${LONG}/`)],
  ["a Hub id", () => Clip.load(`owner/${LONG}`, { endpoint: "http://127.0.0.1:9" })],
  ["a broken address", () => Clip.load(`http://[${LONG}`)],
  ["an endpoint", () => Clip.load("owner/model", { endpoint: LONG })],
  ["a field of a config", () => ClipTrainer.create({ ...create, config: { ...tinyConfig, [LONG]: 1 } })],
  [
    "a word of a config",
    () => ClipTrainer.create({ ...create, config: { ...tinyConfig, objective: LONG as "softmax" } }),
  ],
  ["merges", () => ClipTrainer.create({ ...create, merges: `${LONG} ${LONG} ${LONG}` })],
  ["a file's name", () => Clip.load([new File(["a"], LONG)])],
  ["JSON", () => Clip.load({ weights: new Uint8Array(8), config: LONG })],
  ["a state's path", () => ClipTrainer.resume(LONG)],
  ["a pair's key", () => trainer.evaluate([{ image: new Uint8Array(), text: "a", key: LONG }])],
  ["a caption", () => trainer.encodeText(LONG)],
  ["a table's column", () => all(captionTable(new TextEncoder().encode("a,b\n"), { imageColumn: LONG }))],
  ["a table's header", () => all(captionTable(new TextEncoder().encode(`${LONG},b\n`)))],
  ["an option", () => trainer.encodeText("a", { truncate: LONG as never })],
])("%s is shortened in messages", async (_, call) => {
  const error = await (async () => call())().then(
    () => undefined,
    (error) => error,
  );
  if (!isClipError(error)) throw new Error(`expected a ClipError, got ${error}`);
  expect(error.code).not.toBe("unexpected");
  expect(error.message).not.toContain(LONG.slice(0, 241));
  expect(error.message.length).toBeLessThan(1000);
});
