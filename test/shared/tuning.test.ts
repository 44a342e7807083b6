/** Runs that train a part of a model, adapters or an average. */

import { Clip, ClipTrainer, type FitOptions } from "clipwright";
import { expect, test } from "vitest";
import { devices } from "../devices";
import { colourPairs, maxError, parseSafetensors, sameBytes, tinyConfig } from "../support";

const options: FitOptions = { batchSize: 4, epochs: 6, lr: 1e-2, warmup: 3, seed: 5 };
const pairs = colourPairs(8);

/** A trainer with its vocabulary, and its weights by name. */
async function create() {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
  for await (const _ of trainer.fit(pairs, { batchSize: 8, epochs: 1 }));
  return { trainer, before: await tensors(trainer) };
}

async function tensors(trainer: ClipTrainer) {
  const { tensors } = parseSafetensors(await trainer.exportSafetensors("hf"));
  return new Map([...tensors].map(([name, { data }]) => [name, data] as const));
}

/** Names of the tensors that differ. */
function changed(before: Awaited<ReturnType<typeof tensors>>, after: Awaited<ReturnType<typeof tensors>>): string[] {
  return [...after].filter(([name, data]) => maxError(data, before.get(name) ?? []) > 0).map(([name]) => name);
}

test("adapters learn, are part of the model and its exports, and export as PEFT's files", async () => {
  const { trainer, before } = await create();
  const base = await trainer.exportSafetensors();
  await expect(trainer.exportAdapter()).rejects.toMatchObject({ code: "no-adapter" });
  let [first, last] = [0, 0];
  for await (const { loss } of trainer.fit(pairs, { ...options, lora: { rank: 2, alpha: 4 } })) {
    first ||= loss;
    last = loss;
  }
  expect(last).toBeLessThan(first);
  const after = await tensors(trainer);
  const inBlocks = /encoder\.layers\.0\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])\.weight$/;
  expect(changed(before, after).every((name) => inBlocks.test(name))).toBe(true);
  expect(changed(before, after)).toHaveLength(12);

  const { weights, config } = await trainer.exportAdapter();
  const { r, lora_alpha, target_modules } = JSON.parse(config);
  expect({ r, lora_alpha, target_modules }).toEqual({
    r: 2,
    lora_alpha: 4,
    target_modules: ["fc1", "fc2", "k_proj", "out_proj", "q_proj", "v_proj"],
  });
  // the old weights plus the adapters, as PEFT adds them, are the new weights
  const { tensors: adapters } = parseSafetensors(weights);
  expect(adapters.size).toBe(24);
  for (const name of changed(before, after)) {
    const module = `base_model.model.${name.replace(/\.weight$/, "")}`;
    const [a, b] = ["A", "B"].map((factor) => adapters.get(`${module}.lora_${factor}.weight`));
    if (!a || !b) throw new Error(`no adapter for ${name}`);
    const [rank = 0, columns = 0] = a.shape;
    const merged = Array.from(before.get(name) ?? new Float32Array(), (old: number, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      let delta = 0;
      for (let k = 0; k < rank; k++) delta += (b.data[row * rank + k] ?? 0) * (a.data[k * columns + column] ?? 0);
      return old + 2 * delta;
    });
    expect(maxError(after.get(name) ?? [], merged)).toBeLessThan(1e-6);
  }

  // the export has the weights that the trainer uses
  const clip = await Clip.load(await trainer.exportSafetensors(), { device: "cpu" });
  const [used, loaded] = [await trainer.encodeText("red 0"), await clip.encodeText("red 0")];
  expect(maxError(loaded.data, used.data)).toBeLessThan(1e-6);
  clip.dispose();
  const resumed = await ClipTrainer.resume(await trainer.saveCheckpoint(), { device: "cpu" });
  expect(sameBytes((await resumed.exportAdapter()).weights, weights)).toBe(true);

  // so has the original model with the adapters
  const again = await Clip.load(base, { device: "cpu", adapter: { weights, config } });
  const { tensors: merged } = parseSafetensors(await again.exportSafetensors("hf"));
  for (const [name, data] of after) expect(maxError(merged.get(name)?.data ?? [], data), name).toBeLessThan(1e-6);
  again.dispose();
  resumed.dispose();
  trainer.dispose();
});

test("lastBlocks trains the last blocks, or none, and what follows them", async () => {
  const { trainer, before } = await create();
  for await (const _ of trainer.fit(pairs, { ...options, lastBlocks: 0 }));
  expect(changed(before, await tensors(trainer)).sort()).toEqual([
    "logit_scale",
    "text_model.final_layer_norm.bias",
    "text_model.final_layer_norm.weight",
    "text_projection.weight",
    "vision_model.post_layernorm.bias",
    "vision_model.post_layernorm.weight",
    "visual_projection.weight",
  ]);
  for await (const _ of trainer.fit(pairs, { ...options, lastBlocks: 1 }));
  const names = changed(before, await tensors(trainer));
  expect(names.some((name) => name.includes("encoder.layers.0"))).toBe(true);
  expect(names.some((name) => name.includes("embeddings"))).toBe(false);
  trainer.dispose();
});

test("activation checkpointing changes the memory of a step and no result", async () => {
  const vision = { imageSize: 64, patchSize: 8, width: 64, layers: 6, heads: 2 };
  const run = async (activationCheckpointing: boolean, more: FitOptions = {}) => {
    const trainer = await ClipTrainer.create({ config: { ...tinyConfig, vision }, device: "cpu", seed: 3 });
    const losses = [];
    const settings = { ...options, batchSize: 64, epochs: 3, activationCheckpointing, ...more };
    for await (const { loss } of trainer.fit(colourPairs(64), settings)) losses.push(loss);
    const { wasmBytes } = await trainer.memory();
    trainer.dispose();
    return { losses, wasmBytes };
  };
  const [plain, saving, both] = [await run(false), await run(true), await run(true, { microBatchSize: 16 })];
  for (const { losses } of [saving, both]) expect(maxError(losses, plain.losses)).toBeLessThan(1e-3);
  expect(saving.wasmBytes).toBeLessThan(0.6 * plain.wasmBytes);
});

test("the moving average of the weights is used, and survives resuming", async () => {
  const { trainer } = await create();
  const { trainer: plain } = await create();
  for await (const _ of trainer.fit(pairs, { ...options, emaDecay: 0.9 }));
  for await (const _ of plain.fit(pairs, options));
  const averaged = await trainer.exportSafetensors();
  expect(sameBytes(averaged, await plain.exportSafetensors())).toBe(false);
  const resumed = await ClipTrainer.resume(await trainer.saveCheckpoint(), { device: "cpu" });
  expect(sameBytes(await resumed.exportSafetensors(), averaged)).toBe(true);
  resumed.dispose();
  plain.dispose();
  trainer.dispose();
});

test("patches are dropped by the seed", async () => {
  const losses = [];
  for (const seed of [1, 1, 2]) {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
    const run = [];
    for await (const { loss } of trainer.fit(pairs, { ...options, batchSize: 8, patchDropout: 0.5, seed }))
      run.push(loss);
    losses.push(run);
    trainer.dispose();
  }
  expect(losses[1]).toEqual(losses[0]);
  expect(losses[2]).not.toEqual(losses[0]);
});

test.each(devices)(
  "Muon moves the blocks' matrices alike in all directions, and AdamW the rest, on %s",
  async (device) => {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device, seed: 3 });
    for await (const _ of trainer.fit(pairs, { batchSize: 8, epochs: 1, lr: 1e-12 }));
    const before = await tensors(trainer);
    const muon = { lr: 0.01, weightDecay: 0 };
    for await (const _ of trainer.fit(pairs, { batchSize: 8, epochs: 1, warmup: 0, lr: 1e-12, weightDecay: 0, muon }));
    const after = await tensors(trainer);
    const moved = changed(before, after).filter(
      (name) => maxError(after.get(name) ?? [], before.get(name) ?? []) > 1e-6,
    );
    const inBlocks = /encoder\.layers\.0\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])\.weight$/;
    expect(moved.every((name) => inBlocks.test(name))).toBe(true);
    expect(moved).toHaveLength(12);
    for (const name of moved) {
      const [a, b] = [after.get(name) ?? [], before.get(name) ?? []];
      const length = Math.hypot(...Array.from(a, (x, i) => x - (b[i] as number)));
      // eight pairs give at most 16 directions, each between 0.6 and 1.3 times the rate; the MLP's first matrix has four times the rows
      const root = (name.includes("fc1") ? 2 : 1) * Math.sqrt(16) * muon.lr;
      expect(length / root, name).toBeGreaterThan(0.1);
      expect(length / root, name).toBeLessThan(1.3);
    }
    for (const [bad, message] of [
      [{ lr: 0 }, /muon\.lr/],
      [{ lr: 0.1, momentum: 1 }, /muon\.momentum/],
      [{ lr: 0.1, weightDecay: -1 }, /muon\.weightDecay/],
      [{} as { lr: number }, /muon\.lr/],
    ] as const) {
      const error = await trainer
        .fit(pairs, { batchSize: 8, muon: bad })
        .next()
        .catch((error) => error);
      expect(error).toMatchObject({ code: "invalid-option", message: expect.stringMatching(message) });
    }
    trainer.dispose();
  },
);

test.each(devices)("half precision learns what full precision learns where %s supports it", async (device) => {
  const losses = async (precision: "f32" | "f16" | "bf16") => {
    using trainer = await ClipTrainer.create({ config: tinyConfig, device, seed: 3 });
    const found = [];
    for await (const { loss } of trainer.fit(pairs, { ...options, lr: 1e-3, precision })) found.push(loss);
    return found;
  };
  const adapter = device === "webgpu" ? await navigator.gpu.requestAdapter() : undefined;
  const supported = { f16: !adapter || adapter.features.has("shader-f16"), bf16: !adapter };
  const full = await losses("f32");
  for (const precision of ["f16", "bf16"] as const) {
    if (supported[precision]) {
      const half = await losses(precision);
      expect(half).not.toEqual(full);
      expect(maxError(half, full)).toBeLessThan(0.02 * Math.max(...full));
    } else {
      const instead = supported.f16 ? "f32 or f16" : "f32";
      const message = `invalid option precision: expected ${instead} on a device without ${precision}, got ${precision}`;
      await expect(losses(precision)).rejects.toMatchObject({ code: "invalid-option", message });
    }
  }
});
