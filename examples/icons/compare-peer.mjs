/** `npm run icons -- peer`: OpenCLIP and clipwright train the same shape from the same weights on the same icons, on one thread each. */

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mustRun, ROOT, timed } from "../../scripts/jobs.mjs";
import { releasedProgram } from "../../scripts/native.mjs";
import { median } from "../../scripts/performance.mjs";
import { setUpPython } from "../../scripts/python.mjs";
import { evaluate, eventsOf, flagsOf, stepsOf } from "./model.mjs";
import { shardsOf } from "./place.mjs";

/** 60,000 pairs: 234 steps. */
const SHARDS = 6;
const PAIRS = 10_000 * SHARDS;
const BATCH = 256;
const WARM_UP = 50;

/** Fresh weights, as a folder that both read: those of a run too slow to move them. */
function freshModel(program, folder, model, home) {
  const still = ["--lr", "1e-12", "--muon-lr", "1e-12", "--epochs", "1", "--batch-size", "1000"];
  const data = ["--train-data", shardsOf(folder, "heldout-names").join("::")];
  eventsOf(program, ["--json", "train", ...flagsOf(folder, model, home), ...data, "--name", "fresh", ...still]);
  const weights = join(home, "fresh", "model.safetensors");
  const fresh = join(home, "fresh-open-clip");
  eventsOf(program, ["--json", "convert", weights, fresh, "--layout", "open_clip"]);
  return fresh;
}

/** Losses and pairs a second from the log of open_clip_train. */
function stepsOfOpenClip(log) {
  const line = /, ([\d.]+)\/s, .*Contrastive_loss: ([\d.]+)/g;
  return [...readFileSync(log, "utf8").matchAll(line)].map(([, speed, loss]) => ({
    loss: Number(loss),
    samplesPerSecond: Number(speed),
  }));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean losses of the ten steps up to each of some, and the median speed. */
function summary(steps) {
  const row = {};
  for (const at of [50, 100, 150, 200, 230])
    row[`step ${at}`] = mean(steps.slice(at - 10, at).map(({ loss }) => loss)).toFixed(3);
  return { ...row, "pairs/s": Math.round(median(steps.map(({ samplesPerSecond }) => samplesPerSecond))) };
}

export async function comparePeer(folder, model, flags) {
  const program = await releasedProgram();
  const python = process.env.PYTHON ?? (await setUpPython(join(ROOT, "scale", "requirements-torch.txt")));
  const home = join(folder, "peer");
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const fresh = await timed("fresh weights", async () => freshModel(program, folder, model, home));
  const shards = shardsOf(folder, "train", SHARDS).join("::");
  const settings = [
    "--train-data",
    shards,
    "--epochs",
    "1",
    "--batch-size",
    String(BATCH),
    "--warmup",
    String(WARM_UP),
  ];
  settings.push("--lr", "1e-3", "--beta2", "0.98", "--eps", "1e-6", "--wd", "0.2", "--logs", home, ...flags);

  const ours = ["--from", fresh, "--captions", "lines", "--truncate", "--threads", "1", "--device", "cpu"];
  await timed("clipwright", async () => eventsOf(program, ["--json", "train", ...ours, ...settings, "--name", "ours"]));
  const script = fileURLToPath(new URL("peer.py", import.meta.url));
  const env = { ...process.env, OMP_NUM_THREADS: "1", CUDA_VISIBLE_DEVICES: "" };
  await timed("OpenCLIP", () =>
    mustRun(python, [script, fresh, join(home, "back"), String(PAIRS), ...settings, "--name", "theirs"], { env }),
  );

  console.table({
    clipwright: summary(stepsOf(join(home, "ours"))),
    OpenCLIP: summary(stepsOfOpenClip(join(home, "theirs", "out.log"))),
  });
  for (const [name, weights] of [
    ["clipwright", join(home, "ours", "model.safetensors")],
    ["OpenCLIP", join(home, "back")],
  ]) {
    console.log(`${name}, retrieval among held-out icons`);
    console.table(evaluate(program, weights, folder));
  }
}
