/**
 * How the recipe of `examples/emoji --recipe best` was chosen: each candidate learns for 20 epochs from the training pairs but
 * for a validation part, and is judged by that part among all training pairs. The held-out pairs are not touched.
 *
 *     npm run bench:recipe
 */

import { createHash } from "node:crypto";
import { ClipTrainer } from "clipwright";
import { best, config, fit } from "../examples/emoji/config.mjs";
import { emojiPairs } from "./emoji.mjs";

/** Skin-tone variants, as the held-out pairs are, by another hash than theirs. */
function isValidation({ text }) {
  const sum = createHash("sha256").update(`validation ${text}`).digest("hex");
  return text.includes("skin tone") && BigInt(`0x${sum}`) % 5n === 0n;
}

const width256 = {
  ...config,
  vision: { ...config.vision, width: 256, layers: 2 },
  text: { ...config.text, layers: 2 },
};
const faster = { ...fit, batchSize: 128, beta2: 0.95 };
const patch16 = { ...width256, vision: { ...width256.vision, patchSize: 16 } };

/** Name, shape, settings: each changes one thing of the one before it. */
const CANDIDATES = [
  ["the settings of npm start", config, fit],
  ["image tower of width 256, 2 layers each", width256, fit],
  ["batches of 128, beta2 0.95", width256, faster],
  ["patches of 16", patch16, faster],
  ["the best recipe", best.config, best.fit],
];

const pairs = await emojiPairs();
const validation = pairs.filter(isValidation);
const training = pairs.filter((pair) => !isValidation(pair));
console.log(`${training.length} pairs to learn from, ${validation.length} for validation, 20 epochs, seed 1`);
console.log("text → image among all, R@1    R@5   weights  what");
for (const [name, shape, settings] of CANDIDATES) {
  const trainer = await ClipTrainer.create({ config: shape, device: "cpu", seed: 1 });
  for await (const _ of trainer.fit(training, { ...settings, epochs: 20 }));
  const { r1, r5 } = (await trainer.evaluate(validation, { distractors: training, truncate: true })).textToImage;
  const weights = (await trainer.exportSafetensors()).length / 4e6;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  console.log(`${percent(r1).padStart(28)} ${percent(r5).padStart(7)}  ${weights.toFixed(1)} M    ${name}`);
  trainer.dispose();
}
