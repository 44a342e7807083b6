/** What a run is said to take, against what it takes. */

import { ClipTrainer, type Embeddings, estimateFit, rowSimilarities } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

/** Large enough for its activations to be seen beside the module's own memory. */
const config = {
  embedDim: 32,
  vision: { imageSize: 64, patchSize: 8, width: 128, layers: 4, heads: 4 },
  text: { contextLength: 16, width: 64, layers: 2, heads: 2 },
};

test("a run is about as long and as large as was said", async () => {
  const pairs = colourPairs(128);
  const options = { batchSize: 64, epochs: 3 };
  const create = { config, device: "cpu" } as const;
  const said = await estimateFit(create, pairs, options);
  const trainer = await ClipTrainer.create(create);
  let steps = 0;
  const began = performance.now();
  for await (const { step } of trainer.fit(pairs, options)) steps = step;
  const seconds = (performance.now() - began) / 1000;
  const { wasmBytes } = await trainer.memory();
  trainer.dispose();
  expect(said.steps).toBe(steps);
  expect(said.bytes / wasmBytes).toBeGreaterThan(0.7);
  expect(said.bytes / wasmBytes).toBeLessThan(1.4);
  // no measurement: an order of magnitude, whatever else the machine does
  expect(said.seconds / seconds).toBeGreaterThan(0.1);
  expect(said.seconds / seconds).toBeLessThan(10);
  const micro = await estimateFit(create, pairs, { ...options, microBatchSize: 8 });
  expect(micro.bytes).toBeLessThan(said.bytes);
});

test("what cannot be run is refused as it would be, and a trial ends with its signal", async () => {
  const create = { config: tinyConfig, device: "cpu" } as const;
  await expect(estimateFit(create, [])).rejects.toMatchObject({ code: "empty-batch" });
  await expect(estimateFit(create, colourPairs(4), { lr: -1 })).rejects.toMatchObject({ code: "invalid-option" });
  const signal = AbortSignal.abort();
  await expect(estimateFit(create, colourPairs(4), { signal })).rejects.toMatchObject({ code: "aborted" });
});

test("rows are compared with their own", () => {
  const of = (data: number[], rows: number): Embeddings => ({
    data: new Float32Array(data),
    shape: [rows, 2],
    normalized: true,
  });
  expect([...rowSimilarities(of([1, 0, 0, 1], 2), of([1, 0, 1, 0], 2))]).toEqual([1, 0]);
  expect(() => rowSimilarities(of([1, 0], 1), of([1, 0, 1, 0], 2))).toThrow(/expected \[1, 2\], got \[2, 2\]/);
});
