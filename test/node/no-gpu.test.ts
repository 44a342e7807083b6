/** The package `webgpu` where there is no GPU. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { tinyConfig } from "../support";
import { NO_GPU } from "./swiftshader";

test("auto takes the CPU and says why, webgpu fails", async () => {
  // before the first worker opens Vulkan
  Object.assign(process.env, NO_GPU);
  const reason = "no WebGPU: no adapter was found; check the GPU and its driver";
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "auto" });
  expect(trainer.info.device).toEqual({ kind: "cpu", reason, threads: 1 });
  trainer.dispose();
  await expect(ClipTrainer.create({ config: tinyConfig, device: "webgpu" })).rejects.toMatchObject({
    code: "device-unavailable",
    message: reason,
  });
});
