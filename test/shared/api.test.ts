/** What users do: train, stop, resume, encode, save, load. */

import { Clip, ClipTrainer, topK } from "clipwright";
import { describe, expect, test } from "vitest";
import { colourPairs, maxError, parseSafetensors, sameBytes, tinyConfig } from "../support";

const settings = { batchSize: 8, epochs: 6, lr: 5e-3, warmup: 2 };

async function trained(options = {}) {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
  const events = [];
  for await (const event of trainer.fit(colourPairs(16), { ...settings, ...options })) events.push(event);
  return { trainer, events };
}

test("fit yields every step, and the loss falls", async () => {
  const { trainer, events } = await trained();
  expect(events).toHaveLength(12);
  events.forEach((event, i) => {
    expect(event).toMatchObject({
      type: "step",
      step: i + 1,
      totalSteps: 12,
      epoch: 1 + Math.floor(i / 2),
      batchSize: 8,
    });
    expect(event.samplesPerSecond).toBeGreaterThan(0);
    expect(event.secondsLeft).toBeGreaterThanOrEqual(0);
    expect(Number.isFinite(event.logitScale)).toBe(true);
  });
  expect(events[0]?.lr).toBeCloseTo(2.5e-3, 12);
  expect(events[1]?.lr).toBeCloseTo(5e-3, 12);
  // an untrained model guesses: its loss is about ln 8
  expect(Math.abs((events[0]?.loss ?? 0) - Math.log(8))).toBeLessThan(1.5);
  expect(events.at(-1)?.loss).toBeLessThan((events[0]?.loss ?? 0) - 0.5);
  trainer.dispose();
});

test("the same seed gives the same weights, another seed others", async () => {
  const runs = [await trained(), await trained()];
  const files = await Promise.all(runs.map(({ trainer }) => trainer.exportSafetensors()));
  expect(sameBytes(files[0], files[1])).toBe(true);
  for (const { trainer } of runs) trainer.dispose();
  const other = await trained({ seed: 5 });
  expect(sameBytes(await other.trainer.exportSafetensors(), files[0])).toBe(false);
  other.trainer.dispose();
});

test("the vocabulary is cut to the captions, and an export loads as the same model", async () => {
  const { trainer } = await trained();
  const { vocabSize } = trainer.info.config.text;
  expect(vocabSize).toBeGreaterThan(512 + 8);
  expect(vocabSize).toBeLessThan(600);
  const pairs = colourPairs(4);
  const images = pairs.map((pair) => pair.image);
  const texts = [...pairs.map((pair) => pair.text), "words unseen"];
  for (const layout of ["hf", "open_clip"] as const) {
    const bytes = await trainer.exportSafetensors(layout);
    expect(parseSafetensors(bytes).metadata).toMatchObject({ format: "pt" });
    const clip = await Clip.load(bytes, { device: "cpu" });
    expect(clip.info.config).toEqual(trainer.info.config);
    expect(await clip.encodeImage(images)).toEqual(await trainer.encodeImage(images));
    // unseen words take many tokens in a cut vocabulary
    const cut = { truncate: true };
    expect(await clip.encodeText(texts, cut)).toEqual(await trainer.encodeText(texts, cut));
    expect(await clip.tokenize(texts, cut)).toEqual(await trainer.tokenize(texts, cut));
    clip.dispose();
  }
  trainer.dispose();
});

test("a caption finds its image, and evaluate measures it", async () => {
  const { trainer } = await trained({ epochs: 30 });
  const pairs = colourPairs(16);
  const { textToImage, imageToText } = await trainer.evaluate(pairs.slice(0, 8), { distractors: pairs.slice(8) });
  for (const { r1, r5, r10, medianRank } of [textToImage, imageToText]) {
    expect(r1).toBeGreaterThan(2 / 16);
    expect(r5).toBeGreaterThanOrEqual(r1);
    expect(r10).toBeGreaterThanOrEqual(r5);
    expect(medianRank).toBeLessThan(8);
  }
  // the same, computed by hand
  const images = await trainer.encodeImage(pairs.map((pair) => pair.image));
  const texts = await trainer.encodeText(pairs.slice(0, 8).map((pair) => pair.text));
  const first = [...Array(8).keys()].filter((row) => topK(texts, images, { k: 1, row })[0]?.index === row);
  expect(first.length / 8).toBeCloseTo(textToImage.r1, 6);
  trainer.dispose();
});

test("training stops between steps and resumes there", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
  const stop = new AbortController();
  let steps = 0;
  for await (const { step } of trainer.fit(colourPairs(16), { ...settings, signal: stop.signal })) {
    steps = step;
    if (step === 3) stop.abort();
  }
  expect(steps).toBe(3);
  const after = await trainer.exportSafetensors();
  for await (const _ of trainer.fit(colourPairs(16), settings)) break;
  expect(sameBytes(await trainer.exportSafetensors(), after)).toBe(false);
  let again = 0;
  for await (const { step } of trainer.fit(colourPairs(16), { ...settings, epochs: 1 })) again = step;
  expect(again).toBe(2);
  trainer.dispose();
});

test("a trainer fine-tunes a checkpoint", async () => {
  const { trainer } = await trained();
  const bytes = await trainer.exportSafetensors();
  trainer.dispose();
  const more = await ClipTrainer.create({ from: bytes, device: "cpu" });
  expect(sameBytes(await more.exportSafetensors(), bytes)).toBe(true);
  let loss = Number.POSITIVE_INFINITY;
  for await (const event of more.fit(colourPairs(16), { ...settings, warmup: 0 })) loss = event.loss;
  expect(loss).toBeLessThan(Math.log(8));
  more.dispose();
});

describe("encoding", () => {
  test("embeddings have length 1, and calls during training are answered between steps", async () => {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
    for await (const { step } of trainer.fit(colourPairs(16), settings)) {
      const { data, shape } = await trainer.encodeText(["red 0", "blue 1"]);
      expect(shape).toEqual([2, 16]);
      expect(Math.hypot(...data.subarray(0, 16))).toBeCloseTo(1, 5);
      if (step === 2) break;
    }
    trainer.dispose();
  });

  test("encoded, raw, RGBA and Blob images of the same pixels have the same embeddings", async () => {
    const { trainer } = await trained();
    const data = colourPairs(1).map(({ image }) => image.data)[0] as Uint8Array;
    const rgba = new Uint8ClampedArray(16 * 16 * 4).map((_, i) =>
      i % 4 === 3 ? 255 : (data[3 * Math.floor(i / 4) + (i % 4)] ?? 0),
    );
    const rgb = { data, width: 16, height: 16 };
    const { data: embeddings } = await trainer.encodeImage([rgb, { data: rgba, width: 16, height: 16 }]);
    expect(maxError(embeddings.subarray(0, 16), embeddings.subarray(16))).toBe(0);
    trainer.dispose();
  });

  test("concurrent calls are all answered", async () => {
    const { trainer } = await trained();
    const answers = await Promise.all(["red 0", "blue 1", "pink 0"].map((text) => trainer.encodeText(text)));
    const together = await trainer.encodeText(["red 0", "blue 1", "pink 0"]);
    expect(
      maxError(
        answers.flatMap(({ data }) => [...data]),
        together.data,
      ),
    ).toBeLessThan(1e-6);
    trainer.dispose();
  });
});

test("a model can be disposed twice, and `using` ends the worker", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  trainer[Symbol.dispose]?.();
  await trainer[Symbol.asyncDispose]?.();
  trainer.dispose();
});
