/**
 * Trains a CLIP on emoji and evaluates it on captions that it never saw: `npm start -- --epochs 20`. `--optimizer adamw` trains
 * without Muon; `--validate` evaluates on a part of the training pairs instead of the held-out ones, to choose settings by.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { ClipError, ClipTrainer, isClipError, topK, webDataset } from "clipwright";
import { config, fit, recipe } from "./config.mjs";

const { values: options } = parseArgs({
  options: {
    epochs: { type: "string", default: "8" },
    seed: { type: "string", default: "1" },
    device: { type: "string", default: "auto" },
    out: { type: "string", default: "checkpoints" },
    optimizer: { type: "string", default: "muon" },
    validate: { type: "boolean", default: false },
  },
});
const epochs = Number(options.epochs);

/** All pairs of a shard. */
async function shard(name) {
  const bytes = await readFile(new URL(`../data/emoji-${name}.tar`, import.meta.url));
  const pairs = [];
  for await (const pair of webDataset(bytes)) pairs.push(pair);
  return pairs;
}

const duration = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
};
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Writes progress: one line that a terminal overwrites, or a new line now and then if `speak` and output is no terminal. */
function showProgress(event, speak) {
  const { step, totalSteps, epoch, loss, samplesPerSecond, secondsLeft } = event;
  const filled = Math.round((24 * step) / totalSteps);
  const bar = "█".repeat(filled) + "░".repeat(24 - filled);
  const line =
    `${bar} ${String(step).padStart(String(totalSteps).length)}/${totalSteps}  epoch ${epoch}/${epochs}` +
    `  loss ${loss.toFixed(3)}  ${samplesPerSecond.toFixed(0)} pairs/s  ${duration(secondsLeft)} left`;
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line.slice(0, (process.stdout.columns ?? 100) - 1)}`);
  else if (speak) console.log(line);
}

/** Training pairs and held-out pairs. */
async function split() {
  const [training, heldOut] = await Promise.all([shard("train"), shard("heldout")]);
  if (!options.validate) return [training, heldOut];
  // every fourth with a skin tone, because all held-out pairs have one
  const toned = training.filter(({ text }) => text.includes("skin tone"));
  const taken = new Set(toned.filter((_, i) => i % 4 === 0));
  return [training.filter((pair) => !taken.has(pair)), [...taken]];
}

async function main() {
  if (!["adamw", "muon"].includes(options.optimizer)) {
    throw new ClipError("invalid-option", `--optimizer: expected adamw or muon, got ${options.optimizer}`);
  }
  const [training, heldOut] = await split();
  const trainer = await ClipTrainer.create({ config, device: options.device, seed: Number(options.seed) });
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const began = performance.now();
  let steps = 0;
  console.log(
    `${training.length} training pairs, ${heldOut.length} held out; ${epochs} epochs on the ` +
      `${trainer.info.device.kind} (${trainer.info.device.reason}). Ctrl-C stops early and keeps the weights.`,
  );
  for await (const event of trainer.fit(training, {
    ...(options.optimizer === "muon" ? recipe : fit),
    epochs,
    signal: stop.signal,
  })) {
    if (steps === 0) {
      const { vocabSize } = trainer.info.config.text;
      console.log(
        `vocabulary cut to ${vocabSize} tokens; an untrained model's loss is ln ${event.batchSize} = ${Math.log(event.batchSize).toFixed(3)}`,
      );
    }
    steps = event.step;
    showProgress(event, event.step % 13 === 0 || event.step === event.totalSteps);
  }
  if (process.stdout.isTTY) process.stdout.write("\n");
  console.log(`trained ${steps} steps in ${duration((performance.now() - began) / 1000)}\n`);
  if (steps === 0) return trainer.dispose();

  const all = training.length + heldOut.length;
  const held = await trainer.evaluate(heldOut, { distractors: training, truncate: true });
  const train = await trainer.evaluate(training, { distractors: heldOut, truncate: true });
  console.log(`Recall among all ${all} images or captions      R@1      R@5     R@10   median rank`);
  const row = (name, { r1, r5, r10, medianRank }) =>
    console.log(
      `  ${name.padEnd(42)}${[r1, r5, r10].map((r) => percent(r).padStart(8)).join(" ")}  ${String(medianRank).padStart(9)}`,
    );
  row("held-out captions, text → image", held.textToImage);
  row("held-out images, image → text", held.imageToText);
  row("training captions, text → image", train.textToImage);
  row("training images, image → text", train.imageToText);

  console.log("\nHeld-out captions and the three images nearest to each, by the images' own captions:");
  const pairs = [...heldOut, ...training];
  const images = await trainer.encodeImage(pairs.map((pair) => pair.image));
  const shown = [0, 0.2, 0.4, 0.6, 0.8].map((share) => heldOut[Math.floor(share * heldOut.length)]);
  const texts = await trainer.encodeText(
    shown.map((pair) => pair.text),
    { truncate: true },
  );
  for (const [row, pair] of shown.entries()) {
    const nearest = topK(texts, images, { k: 3, row }).map(({ index }) => pairs[index]);
    const names = nearest.map((found) => (found === pair ? `✓ ${found.text}` : found.text));
    console.log(`  ${pair.text}\n      ${names.join("  ·  ")}`);
  }

  const file = `${options.out}/emoji.safetensors`;
  await mkdir(options.out, { recursive: true });
  await writeFile(file, await trainer.exportSafetensors("hf"));
  console.log(`\nThe weights are in ${file}: Clip.load() reads it, and so does PyTorch.`);
  trainer.dispose();
}

try {
  await main();
  console.log("The same in a browser tab: npm run demo, then open the address that it prints");
} catch (error) {
  if (!isClipError(error)) throw error;
  console.error(`\n✗ ${error.message} (${error.code})`);
  process.exitCode = 1;
}
