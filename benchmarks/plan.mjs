/**
 * Compares what `clipwright plan` foretells with runs on the CPU, one thread a process: the time of a step on one process and on two, the
 * bytes that two and four exchange, and the memory of a process.
 *
 *     npm run bench:plan -- --rounds 3
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fail } from "../scripts/jobs.mjs";
import { median } from "../scripts/performance.mjs";
import { mpirun, setUpProgram } from "./mpi-program.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    /** Pairs of a process in the steps that are foretold. */
    "batch-size": { type: "string", default: "128" },
  },
});
const [rounds, own] = [values.rounds, values["batch-size"]].map(Number);
if (![rounds, own / 2].every((number) => Number.isInteger(number) && number > 0))
  fail("--rounds takes a whole number above 0, --batch-size an even one");
const STEPS = 20;
const WARM_UP = 2;

const { folder, shape, start, train } = await setUpProgram();
let files = 0;
/** Writes events to a file, for plan to read. */
function fileOf(...results) {
  const file = join(folder, `measured-${files++}.json`);
  writeFileSync(file, results.flatMap(({ events }) => events.map((event) => JSON.stringify(event))).join("\n"));
  return file;
}
const one = (events, type) => events.find((event) => event.type === type) ?? fail(`no event ${type}`);

/** Measures steps of so many pairs, in so many processes at the same time. */
const bench = (pairs, count) => {
  const flags = ["bench", "--config", shape, "--device", "cpu", "--threads", "1", "--batch-size", String(pairs)];
  return Promise.all(Array.from({ length: count }, () => start([], [...flags, "--repeat", "9"])));
};
const plan = async (flags) => one((await start([], ["plan", "--config", shape, ...flags])).events, "plan");
/** Median seconds of a run's steps. */
const secondsOf = ({ times }) => median(times.slice(WARM_UP).map((time, i) => (time - times[WARM_UP + i - 1]) / 1000));

const seconds = { 1: [], 2: [] };
let vocabulary = [];
for (let round = 0; round < rounds; round++)
  for (const ranks of [1, 2]) {
    const launcher = ranks > 1 ? mpirun(ranks) : [];
    // half of the pairs before, and twice as many after: the step itself is not measured
    const before = await bench(own / 2, ranks);
    const link = ranks > 1 ? ["--link", fileOf(await start(launcher, ["bench", "--link"]))] : [];
    const ran = await train(launcher, ranks * own, WARM_UP + STEPS);
    const measured = fileOf(...before, ...(await bench(2 * own, ranks)));
    vocabulary = ["--vocab-size", String(one(ran.events, "start").vocabSize)];
    const flags = ["--gpus", String(ranks), "--batch-size", String(ranks * own), ...vocabulary];
    const { step } = await plan([...flags, "--measured", measured, ...link]);
    const got = secondsOf(ran);
    seconds[ranks].push(step.seconds / got);
    const efficiency = ranks > 1 ? `, efficiency ${step.efficiency.toFixed(3)}` : "";
    console.log(
      `${ranks} of ${own} pairs each: foretold ${step.seconds.toFixed(3)} s, measured ${got.toFixed(3)} s${efficiency}`,
    );
  }
for (const ranks of [1, 2])
  console.log(
    `time of a step, ${ranks} processes: foretold over measured, median ${median(seconds[ranks]).toFixed(3)}`,
  );

for (const ranks of [2, 4]) {
  const { events } = await train(mpirun(ranks, "--oversubscribe"), 512, undefined, ["--epochs", "1"]);
  const { step: steps, exchanged } = one(events, "done");
  const { exchanged: foretold } = await plan(["--gpus", String(ranks), "--batch-size", "512", ...vocabulary]);
  const [got, expected] = [exchanged.handedBytes, steps * foretold.handedBytes];
  console.log(`bytes handed to MPI in ${steps} steps, ${ranks} processes: foretold ${expected}, counted ${got}`);
  if (got !== expected) fail("the bytes differ");
}

for (const flags of [
  ["--model", "ViT-B-32", "--batch-size", "8"],
  ["--model", "ViT-B-32", "--batch-size", "32"],
  ["--model", "ViT-B-32", "--batch-size", "32", "--micro-batch-size", "8"],
]) {
  const fixed = ["--device", "cpu", "--threads", "1", "--repeat", "2"];
  const { events, bytes } = await start([], ["bench", ...flags, ...fixed]);
  const { captionTokens } = one(events, "bench");
  const ask = ["plan", "--gpus", "1", ...flags, "--caption-tokens", String(captionTokens)];
  const { memory } = one((await start([], ask)).events, "plan");
  const [mb, ratio] = [(number) => (number / 1e6).toFixed(0), memory.peak / bytes];
  console.log(
    `memory, ${flags.join(" ")}: foretold ${mb(memory.peak)} MB, measured ${mb(bytes)} MB: ${ratio.toFixed(2)}`,
  );
}
