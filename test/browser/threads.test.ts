/** CPU threads: this page is cross-origin isolated, so they are available. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { spawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { answerOf, colourPairs, tinyConfig } from "../support";
import { published } from "./published";

test("an isolated page computes on one thread a core, and info tells how many", async () => {
  expect(crossOriginIsolated).toBe(true);
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
  expect(trainer.info.device).toMatchObject({ kind: "cpu", threads: Math.min(8, navigator.hardwareConcurrency) });
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 4, lr: 1e-3, warmup: 2 }))
    losses.push(loss);
  expect(losses).toHaveLength(4);
  expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
  trainer.dispose();
});

test.skipIf(published).each(["threads", "forbidden", "single"])(
  "the CPU's kernels agree with plain operations: %s",
  async (name) => {
    const worker = new Worker(new URL("./threads.worker.ts", import.meta.url), { type: "module", name });
    const answer = await answerOf(worker);
    const threads = name === "threads" ? Math.min(8, navigator.hardwareConcurrency) : 1;
    expect(answer).toEqual({ threads, kernels: "agree" });
  },
);

test("a page learns of a lost thread although its worker waits for it", async () => {
  const worker = spawnedWorker(
    () => new Worker(new URL("./threads.worker.ts", import.meta.url), { type: "module", name: "lost" }),
  );
  expect(await new Promise((resolve) => worker.onLost(resolve))).toBe("the worker was ended");
  worker.terminate();
});
