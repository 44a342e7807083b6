/** Estimates of runs, against the runs. */

import {
  ClipError,
  ClipTrainer,
  type Embeddings,
  estimateFit,
  type FitOptions,
  type ImageTextPair,
  type PairSource,
  rowSimilarities,
} from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

/** Large enough for its activations to stand out from the module's own memory. */
const config = {
  embedDim: 32,
  vision: { imageSize: 64, patchSize: 8, width: 64, layers: 3, heads: 2 },
  text: { contextLength: 16, width: 64, layers: 2, heads: 2 },
};
const create = { config, device: "cpu" } as const;

/** Pairs with many different words, so that a few of them have another vocabulary than all. */
const pairs = colourPairs(96).map((pair, i) => ({
  ...pair,
  text: `${pair.text} ${"abcdefgh"[i % 8]}${"klmnopqr"[Math.floor(i / 8) % 8]}${i}`,
}));
const bad = { image: new Uint8Array([1, 2, 3]), text: "no picture" };
const failed = { ...bad, error: new ClipError("invalid-dataset", "no pair") };
async function* stream() {
  yield* pairs;
}

const runs: [string, () => PairSource, FitOptions][] = [
  ["an array", () => pairs, { batchSize: 32 }],
  ["a generator", () => stream(), { batchSize: 32, microBatchSize: 8 }],
  ["a function", () => async () => stream(), { batchSize: 32, autosave: { every: 2 } }],
  [
    "columns, judged by others",
    () => ({ images: pairs.map(({ image }) => image), texts: pairs.map(({ text }) => [text, `${text} b`]) }),
    { batchSize: 16, evaluation: { pairs: () => stream(), distractors: pairs.slice(0, 9), every: 2 } },
  ],
  ["a set with bad pairs", () => new Set([failed, bad, ...pairs]), { batchSize: 32, badPairs: "skip", emaDecay: 0.9 }],
];

// other work on the machine can slow down either of the two: a wrong estimate fails each time
test.each(runs)("a run over %s takes about the estimated time and memory", { retry: 2 }, async (_, source, options) => {
  const said = await estimateFit(create, source(), { ...options, epochs: 2 });
  const trainer = await ClipTrainer.create(create);
  let steps = 0;
  const began = performance.now();
  for await (const { step } of trainer.fit(source(), { ...options, epochs: 2 })) steps = step;
  const seconds = (performance.now() - began) / 1000;
  const { wasmBytes } = await trainer.memory();
  trainer.dispose();
  expect(said.steps).toBe(steps);
  expect(said.bytes / wasmBytes).toBeGreaterThan(0.85);
  expect(said.bytes / wasmBytes).toBeLessThan(1.15);
  // only the order of magnitude: the machine does other work
  expect(said.seconds / seconds).toBeGreaterThan(0.1);
  expect(said.seconds / seconds).toBeLessThan(10);
});

test("invalid runs are refused as by fit, and a signal aborts the estimate", async () => {
  const create = { config: tinyConfig, device: "cpu" } as const;
  await expect(estimateFit(create, [])).rejects.toMatchObject({ code: "empty-batch" });
  await expect(estimateFit(create, colourPairs(4), { lr: -1 })).rejects.toMatchObject({ code: "invalid-option" });
  await expect(estimateFit(create, [failed, ...pairs])).rejects.toMatchObject({
    code: "invalid-dataset",
    message: "pair 0: no pair",
  });
  const long = { ...pairs[0], text: "x".repeat(99), key: "long" } as ImageTextPair;
  await expect(estimateFit(create, [...pairs, long], { batchSize: 8 })).rejects.toMatchObject({
    code: "caption-too-long",
    message: expect.stringMatching(/^pair 96 \(long\): /),
  });
  await expect(estimateFit(create, 7 as never)).rejects.toMatchObject({ code: "invalid-source" });
  const signal = AbortSignal.abort();
  await expect(estimateFit(create, colourPairs(4), { signal })).rejects.toMatchObject({ code: "aborted" });
});

test("rowSimilarities compares rows with the same index", () => {
  const of = (data: number[], rows: number): Embeddings => ({
    data: new Float32Array(data),
    shape: [rows, 2],
    normalized: true,
  });
  expect([...rowSimilarities(of([1, 0, 0, 1], 2), of([1, 0, 1, 0], 2))]).toEqual([1, 0]);
  expect(() => rowSimilarities(of([1, 0], 1), of([1, 0, 1, 0], 2))).toThrow(/expected \[1, 2\], got \[2, 2\]/);
});
