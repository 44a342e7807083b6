/**
 * Compares a run whose process is killed (SIGKILL) repeatedly with the same run left alone: the weights must be equal.
 *
 *     npm run bench:killed -- --every 30 --for 600
 */

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ClipTrainer } from "clipwright";
import { emojiPairs } from "./emoji.mjs";

const { values } = parseArgs({
  options: {
    every: { type: "string", default: "30" },
    for: { type: "string", default: "600" },
    epochs: { type: "string", default: "1300" },
    /** Set in the processes that are killed: folder of the states. */
    folder: { type: "string" },
  },
});
const [every, seconds, epochs] = [values.every, values.for, values.epochs].map(Number);

const config = {
  embedDim: 64,
  vision: { imageSize: 32, patchSize: 8, width: 64, layers: 2, heads: 2 },
  text: { contextLength: 16, width: 64, layers: 2, heads: 2 },
};

/** Finishes the run, from the last state in `folder` if there is one; returns its steps and the checksum of its weights. */
async function train(folder) {
  const pairs = (await emojiPairs()).slice(0, 512);
  const autosave = folder && { to: folder, seconds: 5 };
  const options = { truncate: true, ...(autosave && { autosave }) };
  const begun = folder && readdirSync(folder).some((name) => name.endsWith(".clip"));
  const trainer = begun
    ? await ClipTrainer.resume(folder, { device: "cpu" })
    : await ClipTrainer.create({ config, device: "cpu", seed: 1 });
  const run = begun ? trainer.resumeFit(pairs, options) : trainer.fit(pairs, { ...options, batchSize: 64, epochs });
  let last = 0;
  for await (const { step } of run) {
    last = step;
    process.send?.({ step });
  }
  const sum = createHash("sha256")
    .update(await trainer.exportSafetensors())
    .digest("hex");
  trainer.dispose();
  return { last, sum };
}

/** Runs it in processes that are killed one after another; each resumes from the last state. */
async function killed() {
  const folder = mkdtempSync(join(tmpdir(), "clipwright-killed-"));
  const until = performance.now() + 1000 * seconds;
  let [kills, taken, result] = [0, 0, undefined];
  while (!result) {
    const child = fork(fileURLToPath(import.meta.url), ["--folder", folder, "--epochs", String(epochs)]);
    const kill = performance.now() < until ? setTimeout(() => child.kill("SIGKILL"), 1000 * every) : undefined;
    child.on("message", (message) => {
      if (message.sum) result = message;
      else taken += 1;
    });
    const signal = await new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal)));
    clearTimeout(kill);
    if (signal === "SIGKILL") kills += 1;
    else if (!result) throw new Error("a process ended by itself before its run did");
  }
  rmSync(folder, { recursive: true });
  return { ...result, kills, taken };
}

if (values.folder) {
  process.send(await train(values.folder));
} else {
  const [whole, broken] = await Promise.all([train(), killed()]);
  console.log(`left alone: ${whole.last} steps, weights ${whole.sum}`);
  console.log(`killed ${broken.kills} times: ${broken.taken} steps taken for ${broken.last}, weights ${broken.sum}`);
  const same = whole.sum === broken.sum;
  console.log(same ? "the weights are the same, bit for bit" : "✗ the weights differ");
  process.exitCode = same ? 0 : 1;
}
