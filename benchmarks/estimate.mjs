/** Compares the memory and time that `estimateFit` predicts with those of real runs, in Node on the CPU. */

import { ClipTrainer, estimateFit } from "clipwright";
import { config, fit, recipe } from "../examples/emoji/config.mjs";
import { emojiPairs } from "./emoji.mjs";

/** Steps of the real run: enough for its peak memory; the predicted seconds are scaled to them. */
const STEPS = 6;
const GROWN = { ...config, vision: { ...config.vision, imageSize: 96, layers: 6 } };

/** Runs: name, shape, options, and the number of `pairs`. */
const cases = (pairs) => {
  const held = { pairs: pairs.slice(-300), distractors: pairs.slice(300, 1_500), every: 3 };
  return [
    ["emoji, as it comes", config, recipe, pairs],
    ["AdamW, batches of 64", config, { ...fit, batchSize: 64 }, pairs],
    ["batches of 1,024 in micro-batches of 32", config, { ...recipe, batchSize: 1_024, microBatchSize: 32 }, pairs],
    ["few pairs of a step, many in all", config, { ...fit, batchSize: 16 }, [...pairs, ...pairs, ...pairs, ...pairs]],
    ["larger pictures", GROWN, { ...fit, batchSize: 64 }, pairs],
    [
      "larger pictures, checkpoints of activations",
      GROWN,
      { ...fit, batchSize: 64, activationCheckpointing: true },
      pairs,
    ],
    ["saved and judged", config, { ...recipe, batchSize: 64, autosave: { every: 3 }, evaluation: held }, pairs],
    ["averaged, locked", config, { ...fit, batchSize: 128, emaDecay: 0.999, lock: "image" }, pairs],
    ["cut anew", config, { ...fit, batchSize: 128, augment: {} }, pairs],
  ];
};

const rows = [];
for (const [name, shape, options, pairs] of cases(await emojiPairs()).filter(
  ([name]) => !process.argv[2] || name.includes(process.argv[2]),
)) {
  const create = { config: shape, device: "cpu", seed: 1 };
  const said = await estimateFit(create, () => pairs, { ...options, epochs: 1 });
  const trainer = await ClipTrainer.create(create);
  let [began, seconds, steps] = [0, 0, 0];
  for await (const { totalSteps, evaluation, saved } of trainer.fit(pairs, { ...options, epochs: 1 })) {
    if (began > 0 && !evaluation && !saved)
      [seconds, steps] = [seconds + (performance.now() - began) / 1000, steps + 1];
    began = performance.now();
    if (steps === STEPS) break;
    if (totalSteps !== said.steps) throw new Error(`expected ${totalSteps} steps, got ${said.steps}`);
  }
  const { wasmBytes } = await trainer.memory();
  trainer.dispose();
  const [mb, ratio] = [(bytes) => (bytes / 1e6).toFixed(0), said.bytes / wasmBytes];
  const time = said.seconds / said.steps / (seconds / steps);
  rows.push({
    run: name,
    "said MB": mb(said.bytes),
    "held MB": mb(wasmBytes),
    memory: ratio.toFixed(2),
    time: time.toFixed(2),
  });
  console.log(JSON.stringify(rows.at(-1)));
}
console.table(rows);
