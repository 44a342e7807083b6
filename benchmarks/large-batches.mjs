/** Measures memory and time with micro-batches, activation checkpointing, a locked tower and Muon. */

import { ClipTrainer } from "clipwright";
import { config, fit } from "../examples/emoji/config.mjs";
import { emojiPairs } from "./emoji.mjs";

const PAIRS = 4_096;
const MICRO = 32;
const REPEATS = 5;

/**
 * Wasm memory after two steps of the emoji model over the same 4,096 pairs. `whole` are the batch sizes that are also measured without
 * micro-batches; larger ones exceed a tab's memory.
 */
export async function memoryByBatch(report, { sizes = [32, 128, 512, 2_048, 4_096], whole = [32, 128, 512] } = {}) {
  const pairs = await emojiPairs();
  const many = Array.from({ length: PAIRS }, (_, i) => pairs[i % pairs.length]);
  const measure = async (batchSize, microBatchSize) => {
    const trainer = await ClipTrainer.create({ config, device: "cpu", seed: 1 });
    let steps = 0;
    for await (const _ of trainer.fit(many, { ...fit, batchSize, microBatchSize, epochs: 2 })) if (++steps === 2) break;
    const { wasmBytes } = await trainer.memory();
    trainer.dispose();
    const row = { batchSize, microBatchSize: microBatchSize ?? batchSize, wasmBytes };
    report(row);
    return row;
  };
  const rows = [];
  for (const size of sizes) rows.push(await measure(size, MICRO));
  for (const size of whole) rows.push(await measure(size, undefined));
  return rows;
}

/**
 * Wasm memory after three steps of 64 pairs and time of the last, by the number of blocks of the image tower, with and without
 * activation checkpointing.
 */
export async function memoryByDepth(report, depths = [4, 12]) {
  const pairs = (await emojiPairs()).slice(0, 64);
  const rows = [];
  for (const layers of depths) {
    const vision = { imageSize: 64, patchSize: 8, width: 128, layers, heads: 4 };
    const text = { contextLength: 16, width: 64, layers: 2, heads: 2 };
    for (const activationCheckpointing of [false, true]) {
      const trainer = await ClipTrainer.create({ config: { embedDim: 64, vision, text }, device: "cpu", seed: 1 });
      let [began, ms] = [0, 0];
      for await (const _ of trainer.fit(pairs, { ...fit, batchSize: 64, epochs: 3, activationCheckpointing })) {
        ms = performance.now() - began;
        began = performance.now();
      }
      const { wasmBytes } = await trainer.memory();
      trainer.dispose();
      rows.push({ layers, activationCheckpointing, wasmBytes, ms });
      report(rows.at(-1));
    }
  }
  return rows;
}

/** Milliseconds of steps with several settings, by turns, without the first epoch. */
export async function stepTimes(settings, { config: shape = config, batchSize = fit.batchSize, count } = {}) {
  const pairs = (await emojiPairs()).slice(0, count);
  const perEpoch = Math.floor(pairs.length / batchSize);
  const names = Object.keys(settings);
  const trainers = await Promise.all(names.map(() => ClipTrainer.create({ config: shape, device: "cpu", seed: 1 })));
  const runs = trainers.map((trainer, i) =>
    trainer.fit(pairs, { ...fit, batchSize, epochs: 20, ...settings[names[i]] }),
  );
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let step = 1; step <= perEpoch + REPEATS; step++) {
    for (const [i, run] of runs.entries()) {
      const began = performance.now();
      await run.next();
      if (step > perEpoch) times[names[i]].push(performance.now() - began);
    }
  }
  for (const trainer of trainers) trainer.dispose();
  return times;
}
