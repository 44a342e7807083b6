/**
 * Two processes that train together over MPI against two that train alone at the same time: pairs a second, one thread each.
 *
 *     npm run bench:ranks -- --rounds 5
 *     npm run bench:ranks -- --model ViT-B-32 --batch-size 16 --steps 4 --rounds 1
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { config as emoji } from "../examples/emoji/config.mjs";
import { fail } from "../scripts/jobs.mjs";
import { setUpMpi } from "../scripts/mpi.mjs";
import { releasedProgram, toToml } from "../scripts/native.mjs";
import { median } from "../scripts/performance.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    /** Steps that are measured, after two that are not. */
    steps: { type: "string", default: "30" },
    /** Pairs of a process. */
    "batch-size": { type: "string", default: "128" },
    /** A published shape in place of the emoji model. */
    model: { type: "string" },
  },
});
const [rounds, steps, batchSize] = [values.rounds, values.steps, values["batch-size"]].map(Number);
if (![rounds, steps, batchSize].every((number) => Number.isInteger(number) && number > 0))
  fail("--rounds, --steps and --batch-size take whole numbers above 0");
const WARM_UP = 2;
const RANKS = 2;

const env = await setUpMpi();
const program = await releasedProgram(["--no-default-features", "--features", "mpi"], env);
const folder = mkdtempSync(join(tmpdir(), "clipwright-ranks-"));
const config = join(folder, "run.toml");
const shape = values.model ? "" : `[config]\n${toToml(emoji)}`;
writeFileSync(config, `${shape}[fit]\n${toToml({ truncate: true, epochs: 1000 })}`);
const data = fileURLToPath(new URL("../examples/data/emoji-train.tar", import.meta.url));

let runs = 0;
/** Starts a run; returns the times in milliseconds at which its steps were done. */
function train(launcher, batch) {
  const flags = ["--json", "train", "--config", config, "--train-data", data, "--device", "cpu", "--threads", "1"];
  flags.push("--batch-size", String(batch), "--logs", folder, "--name", `run-${runs++}`);
  if (values.model) flags.push("--model", values.model);
  const [command, ...args] = [...launcher, program, ...flags];
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  const times = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (JSON.parse(line).type === "step") times.push(performance.now());
    if (times.length === WARM_UP + steps) child.kill("SIGTERM");
  });
  return new Promise((resolve) =>
    child.on("close", (status) => {
      if (times.length < WARM_UP + steps)
        fail(`${command} ended after ${times.length} steps with exit code ${status}: its message is above`);
      resolve(times);
    }),
  );
}

/** Pairs a second of a run over a time in which all runs take steps. */
function pairsPerSecond(times, batch, [from, to]) {
  const within = times.filter((time) => time >= from && time <= to);
  return ((within.length - 1) * batch) / ((within.at(-1) - within[0]) / 1000);
}

async function measure(launcher, batch, count) {
  const all = await Promise.all(Array.from({ length: count }, () => train(launcher, batch)));
  const span = [Math.max(...all.map((times) => times[WARM_UP - 1])), Math.min(...all.map((times) => times.at(-1)))];
  return all.reduce((sum, times) => sum + pairsPerSecond(times, batch, span), 0);
}

const shares = [];
for (let round = 0; round < rounds; round++) {
  const alone = await measure([], batchSize, RANKS);
  const together = await measure(["mpirun", "-n", String(RANKS)], RANKS * batchSize, 1);
  shares.push(together / alone);
  const figures = [alone, together].map((speed) => `${speed.toFixed(1)} pairs/s`);
  console.log(`alone ${figures[0]}, over MPI ${figures[1]}: ${shares.at(-1).toFixed(3)}`);
}
rmSync(folder, { recursive: true, force: true });
console.log(`${values.model ?? "emoji model"}, ${batchSize} pairs a process: median ${median(shares).toFixed(3)}`);
