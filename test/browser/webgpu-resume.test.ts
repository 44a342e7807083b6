/** A run resumed on WebGPU. Each worker compiles its pipelines again, so the test uses few workers. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, sameBytes, tinyConfig } from "../support";

test("a resumed run is the same bit for bit in a new worker on the same device", async () => {
  const pairs = colourPairs(8);
  const first = await ClipTrainer.create({ config: tinyConfig, device: "webgpu", seed: 3 });
  const losses: number[] = [];
  let state: Uint8Array = new Uint8Array();
  for await (const { step, loss } of first.fit(pairs, { batchSize: 4, epochs: 3, warmup: 2 })) {
    losses.push(loss);
    if (step === 2) state = await first.saveCheckpoint();
  }
  expect(losses).toHaveLength(6);
  const second = await ClipTrainer.resume(state, { device: "webgpu" });
  expect(second.info.device.kind).toBe("webgpu");
  const again: number[] = [];
  for await (const { loss } of second.resumeFit(pairs)) again.push(loss);
  expect(again).toEqual(losses.slice(2));
  expect(sameBytes(await second.exportSafetensors(), await first.exportSafetensors())).toBe(true);
  first.dispose();
  second.dispose();
});
