/** WebGPU through the API: which device is taken, and that it learns as the CPU does. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, maxError, tinyConfig } from "../support";

test("auto passes over a GPU that is only software, and says so", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "auto" });
  expect(trainer.info.device.kind).toBe("cpu");
  expect(trainer.info.device.reason).toMatch(/only .*swiftshader.*\(software\)/i);
  trainer.dispose();
});

test("fit on WebGPU follows the CPU step by step", async () => {
  const runs = [];
  for (const device of ["cpu", "webgpu"] as const) {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device, seed: 3 });
    expect(trainer.info.device.kind).toBe(device);
    const losses: number[] = [];
    for await (const { loss } of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 4, lr: 1e-3, warmup: 2 }))
      losses.push(loss);
    const { data } = await trainer.encodeText(["red 0", "brown 0"]);
    const { gpuBytes } = await trainer.memory();
    if (device === "webgpu") expect(gpuBytes).toBeGreaterThan(0);
    else expect(gpuBytes).toBeUndefined();
    trainer.dispose();
    runs.push({ losses, data });
  }
  const [cpu, gpu] = runs;
  expect(gpu?.losses).toHaveLength(4);
  expect(maxError(gpu?.losses ?? [], cpu?.losses ?? [])).toBeLessThan(1e-3);
  expect(maxError(gpu?.data ?? [], cpu?.data ?? [])).toBeLessThan(1e-2);
});
