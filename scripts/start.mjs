/**
 * `npm start`: sets up, builds what training in this Node needs, and trains on the emoji pairs. Arguments go to
 * examples/emoji/train.mjs.
 */

import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { say, since } from "./jobs.mjs";
import { setUpBindgen, setUpPackages, setUpRust } from "./setup.mjs";

const began = performance.now();
const { device } = parseArgs({ strict: false, options: { device: { type: "string" } } }).values;
// a GPU needs a module that takes longer to build than the training
if (device === undefined) process.argv.push("--device", "cpu");
await setUpRust();
// compiled while npm's packages arrive
setUpBindgen();
await setUpPackages();
const { relaxedSimd } = await import("wasm-feature-detect");
const cpu = (await relaxedSimd()) ? "train-cpu-relaxed" : "train-cpu";
await build({ only: [cpu, ...(device === undefined || device === "cpu" ? [] : ["train-webgpu"])] });
say(`set up in ${since(began)}; training`);
// in this process, so that it receives Ctrl-C
await import("../examples/emoji/train.mjs");
