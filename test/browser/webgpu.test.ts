/** WebGPU through the API: which device is chosen, and that it trains as the CPU does. */

import { Clip, ClipTrainer } from "clipwright";
import { proxy, wrap } from "comlink";
import { expect, test } from "vitest";
import type { TrainingWorkerApi } from "../../workers/protocol/api.js";
import type { LoadProgress } from "../../workers/protocol/load.js";
import { answerOf, colourPairs, fixture, get, json, maxError, parseSafetensors, text, tinyConfig } from "../support";
import { published } from "./published";

test("auto skips a software GPU, and info tells why", async () => {
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

test.skipIf(published).each(["software", "hardware"])(
  "the kernels for %s give the CPU's numbers over odd shapes",
  async (name) => {
    const worker = new Worker(new URL("./kernels.worker.ts", import.meta.url), { type: "module", name });
    const answer = await answerOf(worker);
    expect(answer).toEqual({ kernels: "agree", waits: name === "hardware" });
  },
);

test.each(["encode", "train"])("auto takes a GPU whose results match the CPU's, to %s", async (name) => {
  const worker = new Worker(new URL("./auto.worker.ts", import.meta.url), { type: "module", name });
  const answer = await answerOf(worker);
  expect(answer).toMatchObject({
    cpu: "agrees",
    info: { kind: "webgpu", reason: "a real GPU" },
  });
});

test.each(["software", "hardware"])(
  "what a model needs of the GPU, of %s, is compiled while it is loaded, not at the first call",
  async (kind) => {
    const name = `${kind} ${crypto.randomUUID()}`;
    const worker = new Worker(new URL("./pipelines.worker.ts", import.meta.url), { type: "module", name });
    const channel = new BroadcastChannel(name);
    const made = () =>
      new Promise<{ all: number; ours: number }>((resolve) => {
        channel.onmessage = ({ data }) => resolve(data);
        channel.postMessage("how many?");
      });
    // the name of its life lock: the worker is ready
    await new Promise((ready) => worker.addEventListener("message", ready, { once: true }));
    const api = wrap<TrainingWorkerApi>(worker);
    const folder = "models/clip-quickgelu-p8/hf";
    const files = ["model.safetensors", "config.json"].map(async (name) => ({
      name,
      data: await fixture(`${folder}/${name}`),
    }));
    const source = { kind: "files" as const, files: await Promise.all(files) };
    const phases: string[] = [];
    const { config } = await api.load(
      { source, towers: "both", dtype: "auto", device: "webgpu", cache: false },
      proxy(({ phase }: LoadProgress) => phases.push(phase)),
    );
    expect(phases.at(-1)).toBe("compile");
    const before = await made();
    expect(before.ours).toBeGreaterThan(5);
    const encode = async (batch: number) => {
      await api.encodePixels(new Float32Array(batch * 3 * config.vision.imageSize ** 2).fill(0.5));
      await api.encodeIds(new Int32Array(batch * config.text.contextLength).fill(1));
    };
    await encode(1);
    expect(await made()).toEqual(before);
    // enough rows for the hardware kernels with larger blocks; Burn's own kernels depend on the batch size
    await encode(200);
    expect((await made()).ours).toBe(before.ours);
    channel.close();
    worker.terminate();
  },
);

test("a token table above the limit is split, and gives the same embeddings", async () => {
  const folder = "models/clip-quickgelu-p8/hf";
  const source = {
    weights: await fixture(`${folder}/model.safetensors`),
    config: await text(`${folder}/config.json`),
  };
  const { tensors } = parseSafetensors(await fixture("models/clip-quickgelu-p8/golden.safetensors"));
  const inputIds = get(tensors, "input_ids").data as Int32Array;
  const notes = (await json("models/clip-quickgelu-p8/golden.json")).tensors;
  // 1,024 rows of 48 values in tables of 300
  const clip = await Clip.load(source, { device: "webgpu", towers: "text", maxTensorBytes: 300 * 48 * 4 });
  const { data } = await clip.encodeText({ inputIds });
  expect(maxError(data, get(tensors, "text_embeds").data)).toBeLessThanOrEqual(10 * notes.text_embeds.atol);
  clip.dispose();
  const whole = await Clip.load(source, { device: "webgpu", towers: "text" });
  expect(whole.info.device.maxTensorBytes).toBeGreaterThanOrEqual(128 << 20);
  whole.dispose();
});
