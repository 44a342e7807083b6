/** `npm run icons -- ranks`: one process and two over MPI take the same steps. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fail, timed } from "../../scripts/jobs.mjs";
import { setUpMpi } from "../../scripts/mpi.mjs";
import { releasedProgram } from "../../scripts/native.mjs";
import { eventsOf, flagsOf, stepsOf } from "./model.mjs";
import { shardsOf } from "./place.mjs";

/** 20,000 pairs: 312 steps. */
const SHARDS = 2;
const BATCH = 64;

/** Steps that must agree, and how far apart rounding may bring their losses: each step carries on those of the ones before. */
const [STEPS, TOLERANCE] = [200, 0.01];

/** All weights of a safetensors file in f32, in the order of their names. */
function weightsOf(file) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const { __metadata__, ...tensors } = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  return Object.keys(tensors)
    .sort()
    .flatMap((name) => {
      const [from, to] = tensors[name].data_offsets.map((offset) => 8 + length + offset);
      return [new Float32Array(bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + to))];
    });
}

/** Distance of two models, as a share of the length of the first. */
function distance(ours, theirs) {
  let [apart, length] = [0, 0];
  for (const [index, tensor] of ours.entries())
    for (const [at, value] of tensor.entries()) {
      apart += (value - theirs[index][at]) ** 2;
      length += value ** 2;
    }
  return Math.sqrt(apart / length);
}

export async function compareRanks(folder, model, flags) {
  const env = await setUpMpi();
  const program = await releasedProgram(["--no-default-features", "--features", "mpi"], env);
  const logs = mkdtempSync(join(tmpdir(), "clipwright-icons-"));
  const data = ["--train-data", shardsOf(folder, "train", SHARDS).join("::")];
  const settings = ["--batch-size", String(BATCH), "--epochs", "1", "--threads", "1", "--device", "cpu", ...flags];
  const runs = [];
  for (const ranks of [1, 2]) {
    const name = `ranks-${ranks}`;
    const launcher = ranks === 1 ? [] : ["mpirun", "-n", String(ranks)];
    const args = ["--json", "train", ...flagsOf(folder, model, logs), ...data, "--name", name, ...settings];
    const [command, ...rest] = [...launcher, program, ...args];
    const began = performance.now();
    await timed(`${ranks} of ${model}`, async () => eventsOf(command, rest, env));
    const seconds = (performance.now() - began) / 1000;
    const losses = stepsOf(join(logs, name)).map(({ loss }) => loss);
    runs.push({ losses, seconds, weights: weightsOf(join(logs, name, "model.safetensors")) });
  }
  rmSync(logs, { recursive: true });

  const [one, two] = runs;
  const apart = one.losses.map((loss, step) => Math.abs(loss - two.losses[step]));
  const largest = (steps) => Math.max(...apart.slice(0, steps)).toExponential(1);
  console.log(`${model}, ${one.losses.length} steps of ${BATCH} pairs; ${one.losses[0]} → ${one.losses.at(-1)}`);
  console.log(
    `largest difference of losses: ${largest(10)} in 10 steps, ${largest(STEPS)} in ${STEPS}, ${largest()} in all`,
  );
  console.log(`distance of the weights: ${distance(one.weights, two.weights).toExponential(1)} of their length`);
  console.log(`${one.seconds.toFixed(0)} s by one, ${two.seconds.toFixed(0)} s by two, all in`);
  const agree = apart.length >= STEPS && apart.slice(0, STEPS).every((difference) => difference < TOLERANCE);
  if (!agree) fail("one process and two train differently");
}
