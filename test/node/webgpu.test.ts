/** WebGPU in Node through the package `webgpu`, on Chromium's software Vulkan. */

import { execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Clip, ClipTrainer } from "clipwright";
import { beforeAll, describe, expect, test } from "vitest";
import { colourPairs, fixture, get, json, maxError, parseSafetensors, tinyConfig } from "../support";
import { swiftShader } from "./swiftshader";

const MODEL = "models/clip-quickgelu-p8";
const folder = fileURLToPath(new URL(`../fixtures/${MODEL}/hf`, import.meta.url));

// before the first worker opens Vulkan
beforeAll(() => void Object.assign(process.env, swiftShader()));

test("auto skips a software GPU, and info tells why", async () => {
  const clip = await Clip.load(folder, { device: "auto" });
  expect(clip.info.device.kind).toBe("cpu");
  expect(clip.info.device.reason).toMatch(/only .*swiftshader.*\(software\)/i);
  clip.dispose();
});

test("encodes as the reference does, with the GPU's memory in memory(), and changes no global of the app", async () => {
  const globals = Object.getOwnPropertyNames(globalThis);
  const { tensors } = parseSafetensors(await fixture(`${MODEL}/golden.safetensors`));
  const notes = (await json(`${MODEL}/golden.json`)).tensors;
  const clip = await Clip.load(folder, { device: "webgpu" });
  expect(clip.info.device).toMatchObject({ kind: "webgpu", reason: expect.stringMatching(/swiftshader/i) });
  expect(clip.info.device.maxTensorBytes).toBeGreaterThanOrEqual(128 << 20);
  const inputIds = get(tensors, "input_ids").data as Int32Array;
  const { data } = await clip.encodeText({ inputIds });
  // GPUs sum in another order: test/fixtures/models/README.md
  expect(maxError(data, get(tensors, "text_embeds").data)).toBeLessThanOrEqual(10 * notes.text_embeds.atol);
  expect((await clip.memory()).gpuBytes).toBeGreaterThan(0);
  expect(Object.getOwnPropertyNames(globalThis)).toEqual(globals);
  clip.dispose();
});

test("fit follows the CPU step by step", async () => {
  const runs = [];
  for (const device of ["cpu", "webgpu"] as const) {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device, seed: 3 });
    const losses: number[] = [];
    for await (const { loss } of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 2, lr: 1e-3, warmup: 1 }))
      losses.push(loss);
    const { data } = await trainer.encodeText(["red 0", "brown 0"]);
    trainer.dispose();
    runs.push({ losses, data });
  }
  const [cpu, gpu] = runs;
  expect(gpu?.losses).toHaveLength(2);
  expect(maxError(gpu?.losses ?? [], cpu?.losses ?? [])).toBeLessThan(1e-3);
  expect(maxError(gpu?.data ?? [], cpu?.data ?? [])).toBeLessThan(1e-2);
});

test("a run whose GPU is lost resumes by itself from the last state", () => {
  const script = fileURLToPath(new URL("webgpu-lost.mjs", import.meta.url));
  // workers load it, too
  const env = { ...process.env, ...swiftShader(), NODE_OPTIONS: `--import ${JSON.stringify(script)}` };
  const lines = execFileSync(process.execPath, ["--eval", "0"], { env, encoding: "utf8" }).trim().split("\n");
  expect(lines).toEqual(["device-failed after step 3, back at step 3", "the same loss: true", "6 steps"]);
});

describe("a process ends cleanly", () => {
  const script = fileURLToPath(new URL("webgpu-end.mjs", import.meta.url));
  const exitCode = (end: string) =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [script, end], {
        env: { ...process.env, ...swiftShader() },
        stdio: "ignore",
      });
      child.on("close", (code, signal) => resolve(signal ?? code));
    });

  test.each([
    ["after dispose()", "dispose", 0],
    ["without dispose()", "none", 0],
    ["by process.exit()", "exit", 0],
    ["when a model is disposed of while the GPU works", "busy-dispose", 0],
    ["by process.exit() while the GPU works", "busy-exit", 0],
    ["by an error while the GPU works", "busy-throw", 1],
  ])("%s", async (_, end, code) => {
    expect(await exitCode(end)).toBe(code);
  });
});
