/** Workers that fail. */

import { Worker } from "node:worker_threads";
import { type ClipConfig, ClipTrainer, isClipError } from "clipwright";
import { wrap } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { expect, test } from "vitest";
import { resultOf } from "../../workers/protocol/answer.js";
import type { TrainingWorkerApi } from "../../workers/protocol/api";
import { colourPairs, tinyConfig } from "../support";

const entry = new URL("../../dist/workers/train.node.js", import.meta.url);

test("a worker without a model reports it and lives on", async () => {
  const worker = new Worker(entry);
  const api = wrap<TrainingWorkerApi>(nodeEndpoint(worker));
  const result = async <T>(answer: Promise<T>) => resultOf(await answer);
  await expect(result(api.encodeText(["a cat"], false))).rejects.toThrow(/no model loaded/);
  await expect(result(api.info())).rejects.toMatchObject({ code: "no-weights" });
  await expect(result(api.stepFit())).rejects.toThrow(/no trainer/);
  expect((await result(api.memory())).wasmBytes).toBeGreaterThan(0);
  await worker.terminate();
});

/** Returns the code of the error. */
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => "none",
    (error) => (isClipError(error) ? error.code : `no ClipError: ${error}`),
  );

/** Runs `start` and returns its result with the worker that it made. */
async function withWorker<T>(start: () => Promise<T>): Promise<[T, Worker]> {
  const made = new Promise<Worker>((resolve) => process.once("worker", resolve));
  return [await start(), await made];
}

const create = (config: ClipConfig) => ClipTrainer.create({ config, device: "cpu" });

test("pending and later calls reject when the worker dies", async () => {
  const [trainer, worker] = await withWorker(() => create(tinyConfig));
  const fitting = (async () => {
    for await (const _ of trainer.fit(colourPairs(64), { batchSize: 8, epochs: 10_000 }));
  })();
  setTimeout(() => worker.terminate(), 300);
  expect(await code(fitting)).toBe("worker-lost");
  expect(await code(trainer.memory())).toBe("worker-lost");
  trainer.dispose();
});

test("a model too large for memory stops its own core, by name, and no other", async () => {
  const other = await create(tinyConfig);
  const vision = { ...tinyConfig.vision, width: 10_000, heads: 1, mlpWidth: 16, layers: 4 };
  const huge = { ...tinyConfig, vision };
  const whole = { ...huge, text: { ...huge.text, vocabSize: 49_408 } };
  expect(await code(create(whole))).toBe("panicked");
  expect((await other.memory()).wasmBytes).toBeGreaterThan(0);
  other.dispose();
});
