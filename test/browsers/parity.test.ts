/** A user's work in a browser: the embeddings are Node's, and the page gets the threads and the device that it should. */

import { Clip, ClipTrainer } from "clipwright";
import { expect, inject, test } from "vitest";
import { devices } from "../devices";
import { colourPairs, maxError, parseSafetensors, read, slack, tinyConfig } from "../support";
import { checkpoint, embeddings } from "./use-model";

/** Between engines on CPUs; GPUs sum in another order. */
const TOLERANCE = 3e-7;

// WebKitGTK as installed isolates pages without SharedArrayBuffer
const threads =
  crossOriginIsolated && "SharedArrayBuffer" in globalThis ? Math.min(8, navigator.hardwareConcurrency) : 1;

test.each(devices)("encodes on %s as Node does, and classifies", async (device) => {
  const clip = await Clip.load(await checkpoint(read), { device });
  expect(clip.info.warnings).toEqual([]);
  const { info } = clip;
  expect(info.device).toMatchObject(device === "cpu" ? { kind: "cpu", threads } : { kind: "webgpu" });
  const node = inject("node");
  const here = await embeddings(clip, read);
  const errors = { images: maxError(here.images, node.images), texts: maxError(here.texts, node.texts) };
  console.log(navigator.userAgent, JSON.stringify({ ...info.device, ...errors }));
  expect(errors.images).toBeLessThanOrEqual(TOLERANCE * slack(device));
  expect(errors.texts).toBeLessThanOrEqual(TOLERANCE * slack(device));
  const classifier = await clip.zeroShotClassifier(["cat", "dog"]);
  const labels = await classifier.classify(new Blob([await read("test/fixtures/pictures/files/baseline.jpg")]));
  expect(labels.map(({ label }) => label).sort()).toEqual(["cat", "dog"]);
  expect(labels.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 5);
  clip.dispose();
});

test.each(devices)("trains on %s and exports what loads again", async (device) => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device, seed: 3 });
  expect(trainer.info.device.kind).toBe(device);
  const losses: number[] = [];
  for await (const { loss } of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 6, lr: 5e-3, warmup: 2 }))
    losses.push(loss);
  expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) - 0.1);
  const file = await trainer.exportSafetensors();
  expect(parseSafetensors(file).tensors.size).toBeGreaterThan(10);
  const clip = await Clip.load(file, { device });
  expect((await clip.encodeText("red 0")).data).toEqual((await trainer.encodeText("red 0")).data);
  clip.dispose();
  trainer.dispose();
});
