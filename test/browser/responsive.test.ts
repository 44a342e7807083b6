/** The page stays responsive while its worker trains. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

const LONG = 50;

test("no task of the main thread takes over 50 ms while the worker trains", async () => {
  const pairs = colourPairs(512);
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
  const tasks: number[] = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ type: "longtask" });
  let workerBusy = 0;
  for await (const { batchSize, samplesPerSecond } of trainer.fit(pairs, { batchSize: 256, epochs: 10, warmup: 2 })) {
    workerBusy += (1000 * batchSize) / samplesPerSecond;
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  observer.disconnect();
  trainer.dispose();
  // the work of the worker would have been a long task here
  expect(workerBusy).toBeGreaterThan(4 * LONG);
  expect(tasks.filter((duration) => duration > LONG)).toEqual([]);
});

test("the long-task observer sees a long task", async () => {
  const tasks: number[] = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ type: "longtask" });
  await new Promise((resolve) => setTimeout(resolve, 0));
  const until = performance.now() + 3 * LONG;
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 200));
  observer.disconnect();
  expect(tasks.some((duration) => duration > LONG)).toBe(true);
});
