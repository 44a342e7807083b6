/**
 * clipwright and onnxruntime-web on Dawn in Node: Chromium's WebGPU on a GPU without a display. Run by `npm run bench:gpu -- web`, or
 * on a machine that has only Node, Python and this repository's built folders:
 *
 *     node benchmarks/gpu-web/bench.mjs MODELS OUT [TASK …]
 *
 * MODELS is a folder of make-models.py; OUT becomes JSON after each task. A TASK is a model with a precision (`vit-b-32`,
 * `vit-b-32-f16`, `vit-b-32:q8`), `train` or, with GPU_PROFILE=1 and
 * `NODE_OPTIONS="--import=$PWD/benchmarks/gpu-web/dawn.mjs"`, `profile` and a model (`profile:vit-b-32`).
 */

import "./dawn.mjs";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Clip } from "clipwright";
import { median } from "../../scripts/performance.mjs";
import { measureEncoding } from "../encode.mjs";
import { picture } from "../picture.mjs";
import { measureSteps } from "../training-step.mjs";

const [models, out, ...named] = process.argv.slice(2);
const TASKS = ["vit-b-32", "vit-b-32-f16", "vit-b-32:q8", "train", "vit-l-14", "vit-l-14-f16", "vit-l-14:q8"];
const BATCHES = (process.env.BATCHES ?? "1,8,64").split(",").map(Number);
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const STEPS = 20;

// onnxruntime-web takes Node for a browser if it finds these
globalThis.self = globalThis;
globalThis.location = { origin: "file://", href: import.meta.url };
const dist = new URL("../peers/node_modules/onnxruntime-web/dist/", import.meta.url);
const ort = await import(new URL("ort.webgpu.mjs", dist));
const { version: peer } = createRequire(import.meta.url)(fileURLToPath(new URL("../package.json", dist)));
ort.env.logLevel = "error";
ort.env.wasm.wasmPaths = dist.href;
ort.env.wasm.wasmBinary = await readFile(new URL("ort-wasm-simd-threaded.asyncify.wasm", dist));

const base = (name) => `${pathToFileURL(models)}/${name}/`;
const read = async (address) => readFile(fileURLToPath(address));

/** The adapter of every result: a software rasteriser is easily taken for a GPU. */
async function adapter() {
  const { info, features, limits } = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const { vendor, architecture, device, description, isFallbackAdapter } = info;
  const { maxBufferSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = limits;
  return {
    ...{ vendor, architecture, device, description, isFallbackAdapter, features: [...features].sort() },
    limits: { maxBufferSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize },
    matrices: info.subgroupMatrixConfigs,
  };
}

function encoding(name, dtype) {
  const request = { base: base(name), provider: "webgpu", batches: BATCHES, rounds: ROUNDS, ort, read };
  const precision = { half: name.endsWith("-f16"), ...(dtype === "q8" && { dtype, theirs: ".nbits" }) };
  return measureEncoding({ ...request, ...precision }, ({ task, ours, theirs, difference, cosine }) => {
    const near = cosine
      ? `cosine to f32 ${cosine.ours.toFixed(6)}, ${cosine.theirs.toFixed(6)}`
      : difference.toExponential(1);
    const [one, other] = [median(ours), median(theirs)];
    console.log(
      `  ${task.padEnd(32)}${one.toFixed(2).padStart(9)}${other.toFixed(2).padStart(9)}  ${(other / one).toFixed(2)}×  ${near}`,
    );
  });
}

async function training() {
  const steps = {};
  for (const device of ["webgpu", "cpu"]) {
    steps[device] = (await measureSteps(device, device === "cpu" ? 5 : STEPS)).ms;
    console.log(`  step of the emoji model, ${device}: ${median(steps[device]).toFixed(1)} ms`);
  }
  return steps;
}

/** Calls to WebGPU and times of the pipelines of one call on each side. */
async function profiles(name) {
  const { readProfile } = await import("./profile.mjs");
  const channel = new BroadcastChannel("gpu-profile");
  const readWorker = () =>
    new Promise((resolve) => {
      channel.onmessage = ({ data }) => resolve(data);
      channel.postMessage("read");
    });
  const clip = await Clip.load(base(name), { device: "webgpu", cache: false });
  const size = clip.info.config.vision.imageSize;
  const session = await ort.InferenceSession.create(await read(`${base(name)}vision.onnx`), {
    executionProviders: ["webgpu"],
  });
  const rows = [];
  for (const batch of BATCHES) {
    const pixels = await clip.preprocess(Array.from({ length: batch }, (_, seed) => picture(size, seed)));
    const feeds = { pixel_values: new ort.Tensor("float32", pixels, [batch, 3, size, size]) };
    const sides = {
      ours: [() => clip.encodeImage({ pixelValues: pixels }), readWorker],
      theirs: [() => session.run(feeds), readProfile],
    };
    for (const [side, [call, result]] of Object.entries(sides)) {
      for (let i = 0; i < 3; i++) await call();
      await result();
      await call();
      const { counts, times, shaders } = await result();
      const all = Object.entries(times).sort(([, a], [, b]) => b.us - a.us);
      const total = all.reduce((sum, [, { us }]) => sum + us, 0);
      console.log(
        `  ${side}, image, batch ${batch}: ${(total / 1e3).toFixed(2)} ms on the GPU; ${JSON.stringify(counts)}`,
      );
      for (const [pipeline, { dispatches, us }] of all.slice(0, 12))
        console.log(`    ${(us / 1e3).toFixed(3).padStart(9)} ms ${String(dispatches).padStart(4)} × ${pipeline}`);
      rows.push({ side, batch, counts, times, shaders });
    }
  }
  channel.close();
  clip.dispose();
  await session.release();
  return rows;
}

const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
const result = { peer, machine, adapter: await adapter(), tasks: {} };
console.log(JSON.stringify(result.adapter));
for (const task of named.length > 0 ? named : TASKS) {
  console.log(task);
  const [name, what] = task.split(":");
  try {
    if (name === "train") result.tasks[task] = await training();
    else if (name === "profile") result.tasks[task] = await profiles(what);
    else result.tasks[task] = await encoding(name, what);
  } catch (error) {
    console.log(`  ${error.stack}`);
    result.tasks[task] = { error: String(error) };
  }
  await writeFile(out, JSON.stringify(result));
}
process.exit(0);
