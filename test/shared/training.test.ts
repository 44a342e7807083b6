/** Golden training steps of OpenCLIP through the whole chain. */

import { ClipTrainer } from "clipwright";
import { describe, expect, test } from "vitest";
import { devices } from "../devices";
import { fixture, get, json, maxError, parseSafetensors, slack, text } from "../support";

async function start(device: "cpu" | "webgpu") {
  const weights = await fixture("training/init.hf.safetensors");
  return ClipTrainer.create({ from: { weights, config: await text("training/hf_config.json") }, device });
}

async function batch() {
  const { tensors } = parseSafetensors(await fixture("training/batch8.safetensors"));
  return {
    pixelValues: get(tensors, "pixel_values").data as Float32Array,
    inputIds: get(tensors, "input_ids").data as Int32Array,
  };
}

const norm = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.sqrt(Array.from(a).reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0));

/** Without the biases of keys, whose gradient is zero except for rounding. */
function comparable(name: string, data: ArrayLike<number>): number[] {
  const values = Array.from(data);
  if (name.endsWith("in_proj_bias")) values.splice(values.length / 3, values.length / 3);
  return values;
}

describe.each(devices)("on %s", (device) => {
  test("loss and gradient of every parameter", async () => {
    const trainer = await start(device);
    const { loss, safetensors } = await trainer.gradients(await batch(), "open_clip");
    const expected = (await json("training/training.json")).grads.loss;
    expect(Math.abs(loss - expected)).toBeLessThanOrEqual(1e-5 * slack(device));
    const got = parseSafetensors(safetensors).tensors;
    const golden = parseSafetensors(await fixture("training/grads.safetensors")).tensors;
    expect([...got.keys()].sort()).toEqual([...golden.keys()].sort());
    for (const [name, { data, shape }] of golden) {
      expect(get(got, name).shape, name).toEqual(shape);
      const largest = Math.max(...Array.from(data, Math.abs));
      const error = maxError(get(got, name).data, data) / largest;
      expect(error, name).toBeLessThanOrEqual(1e-4 * slack(device));
    }
    trainer.dispose();
  });

  test("parameters after 1, 2 and 10 steps", async () => {
    const trainer = await start(device);
    const initial = parseSafetensors(await trainer.exportSafetensors("open_clip")).tensors;
    const { trace } = await json("training/training.json");
    for (let step = 1; step <= 10; step++) {
      const loss = await trainer.trainStep(await batch(), { lr: 5e-4 });
      const expected = trace[step - 1].loss_before;
      expect(Math.abs(loss - expected), `step ${step}`).toBeLessThanOrEqual(1e-3 * expected * slack(device));
      if (![1, 2, 10].includes(step)) continue;
      const got = parseSafetensors(await trainer.exportSafetensors("open_clip")).tensors;
      const golden = parseSafetensors(await fixture(`training/params.step${step}.safetensors`)).tensors;
      for (const name of golden.keys()) {
        const [g, e, i] = [got, golden, initial].map((from) => comparable(name, get(from, name).data));
        expect(maxError(g as number[], e as number[]), `step ${step} ${name}`).toBeLessThanOrEqual(
          5e-5 * slack(device),
        );
        const relative = norm(g as number[], e as number[]) / norm(e as number[], i as number[]);
        expect(relative, `step ${step} ${name}`).toBeLessThanOrEqual(3e-3 * slack(device));
      }
    }
    trainer.dispose();
  });
});
