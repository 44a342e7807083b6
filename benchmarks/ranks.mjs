/**
 * Two processes that train together over MPI against two that train alone at the same time: pairs a second, one thread each.
 *
 *     npm run bench:ranks -- --rounds 5
 *     npm run bench:ranks -- --model ViT-B-32 --batch-size 16 --steps 4 --rounds 1
 */

import { parseArgs } from "node:util";
import { fail } from "../scripts/jobs.mjs";
import { median } from "../scripts/performance.mjs";
import { mpirun, setUpProgram } from "./mpi-program.mjs";

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

const { train } = await setUpProgram(values.model);

/** Pairs a second of a run over a time in which all runs take steps. */
function pairsPerSecond(times, batch, [from, to]) {
  const within = times.filter((time) => time >= from && time <= to);
  return ((within.length - 1) * batch) / ((within.at(-1) - within[0]) / 1000);
}

async function measure(launcher, batch, count) {
  const runs = await Promise.all(Array.from({ length: count }, () => train(launcher, batch, WARM_UP + steps)));
  const all = runs.map((run) => run.times);
  const span = [Math.max(...all.map((times) => times[WARM_UP - 1])), Math.min(...all.map((times) => times.at(-1)))];
  return all.reduce((sum, times) => sum + pairsPerSecond(times, batch, span), 0);
}

const shares = [];
for (let round = 0; round < rounds; round++) {
  const alone = await measure([], batchSize, RANKS);
  const together = await measure(mpirun(RANKS), RANKS * batchSize, 1);
  shares.push(together / alone);
  const figures = [alone, together].map((speed) => `${speed.toFixed(1)} pairs/s`);
  console.log(`alone ${figures[0]}, over MPI ${figures[1]}: ${shares.at(-1).toFixed(3)}`);
}
console.log(`${values.model ?? "emoji model"}, ${batchSize} pairs a process: median ${median(shares).toFixed(3)}`);
