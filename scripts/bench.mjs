/** The `npm run bench:*` commands on a built package: benchmarks/README.md. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "./build.mjs";
import { fail, ROOT, run, say } from "./jobs.mjs";
import { openPage, openProfile, serveModels } from "./page.mjs";
import { median, RESULTS, writePerformance } from "./performance.mjs";
import { CACHE, claimOutput, setUpPackages, setUpRust } from "./setup.mjs";
import { moduleFile } from "./wasm.mjs";

const [name, ...words] = process.argv.slice(2);
/** `--release` measures the published modules; without it, those of the tests, which have the same kernels and build sooner. */
const RELEASE = words.includes("--release") || name === "download";
const CHOICES = words.filter((word) => word !== "--release");

const ROUNDS = 3;
const REPEATS = 5;

/** Megabytes; less than a tenth counts as 0, without a sign. */
const mb = (bytes) => (bytes === undefined ? "–" : `${(Math.round(bytes / 1e5) / 10 + 0).toFixed(1)} MB`);

/** Writes a result, and docs/performance.md from all results. */
async function save(file, results) {
  mkdirSync(RESULTS, { recursive: true });
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  const path = join(RESULTS, `${file}.json`);
  const whole = { name: file, release: RELEASE, date: new Date().toISOString(), commit, machine, ...results };
  // further digits are noise; cosines need these
  const rounded = (_, value) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
  writeFileSync(path, `${JSON.stringify(whole, rounded, 2)}\n`);
  run("npx", ["biome", "format", "--write", path]);
  await writePerformance();
  console.log(`\nwritten to ${path.slice(ROOT.length)}`);
}

/** Runs a program and parses the JSON in its last line of output. */
function lastLine(command, args, orElse) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) fail(`${orElse}${stderr ? `\n${stderr.trim().split("\n").at(-1)}` : ""}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Measures PyTorch's steps of a model, with so many threads. */
function torchSteps(model, batch, threads, repeats) {
  const options = Object.entries({ model, batch, threads, repeats }).flatMap(([name, value]) => [
    `--${name}`,
    `${value}`,
  ]);
  return lastLine(
    process.env.PYTHON ?? "python3",
    ["benchmarks/training-step.py", ...options],
    "PyTorch is needed: pip install torch, or PYTHON=… to name an interpreter that has it",
  );
}

/** Milliseconds: least, median, most. */
const spread = (ms, digits = 0) =>
  [Math.min(...ms), median(ms), Math.max(...ms)].map((n) => n.toFixed(digits).padStart(8)).join("");

/** Builds an example of the core and returns its path. In a target folder of its own, because the tests have other flags. */
async function buildNative(example, features, time) {
  // packages: biome formats the result
  await Promise.all([setUpPackages(), setUpRust()]);
  const target = join(CACHE, "target-native");
  claimOutput(target);
  say(`building the native program (the first time ${time})`);
  const cargo = ["-p", "clipwright-core", "--features", features, "--example", example, "--target-dir", target];
  run("cargo", ["build", "--release", "--locked", ...cargo]);
  return join(target, "release", "examples", example);
}

/** Measures a step in Chromium, on WebGPU or on threads, in a page of its own. */
async function stepsInPage(device, repeats) {
  const { page, version, close } = await openPage("benchmarks/page.html", { isolated: true });
  const measured = await page.evaluate(
    async ([device, repeats]) => (await import("/benchmarks/training-step.mjs")).measureSteps(device, repeats),
    [device, repeats],
  );
  await close();
  return { ...measured, chromium: version };
}

async function trainingStep() {
  installPeers();
  const torch = (threads) => torchSteps("emoji", 256, threads, REPEATS);
  const repeats = String(REPEATS);
  const result = { ours: [], theirs: [], tfjs: [], oursThreads: [], theirsThreads: [] };
  for (let round = 1; round <= ROUNDS; round++) {
    say(`round ${round} of ${ROUNDS}`);
    result.ours.push(...lastLine("node", ["benchmarks/training-step.mjs", repeats], "our half failed").ms);
    const peer = torch(1);
    result.theirs.push(...peer.ms);
    result.torch = peer.torch;
    const tfjs = ["benchmarks/training-step-tfjs.mjs", "1"];
    result.tfjs.push(...lastLine("node", tfjs, "TensorFlow.js's part failed").ms);
    const { ms, threads, chromium } = await stepsInPage("cpu", REPEATS);
    result.oursThreads.push(...ms);
    Object.assign(result, { threads, chromium });
    result.theirsThreads.push(...torch(threads).ms);
  }
  say("WebGPU, on the software rasteriser");
  result.webgpu = (await stepsInPage("webgpu", 1)).ms;
  const { ours, theirs, tfjs, oursThreads, theirsThreads, threads, webgpu } = result;
  const row = (name, ms) => console.log(`  ${name.padEnd(40)}${spread(ms)}`);
  console.log("\nTraining step, emoji model, batch 256, ms        min  median     max");
  row("clipwright, Wasm, 1 thread (Node)", ours);
  row(`PyTorch ${result.torch}, 1 thread`, theirs);
  row("TensorFlow.js 4.22, Wasm, 1 thread", tfjs);
  row(`clipwright, Wasm, ${threads} threads (Chromium)`, oursThreads);
  row(`PyTorch ${result.torch}, ${threads} threads`, theirsThreads);
  row("clipwright, WebGPU in software", webgpu);
  const share = (one, other) => `${(median(one) / median(other)).toFixed(2)}×`;
  console.log(
    `  Wasm: ${share(ours, theirs)} PyTorch's time, ${share(ours, tfjs)} TensorFlow.js's; ` +
      `${threads} threads: ${share(oursThreads, theirsThreads)}`,
  );
  await save("training-step", result);
}

/** Measures native steps by turns with PyTorch, on one thread and on as many as there are cores. */
async function nativeStep() {
  const all = [
    { model: "emoji", batch: 256, repeats: REPEATS },
    { model: "ViT-B-32", batch: 64, repeats: 1 },
  ];
  const unknown = CHOICES.find((choice) => !all.some(({ model }) => model === choice));
  if (unknown) fail(`expected emoji or ViT-B-32, got ${unknown}`);
  const program = await buildNative("training_step", "threads", "5 minutes");
  for (const { model, batch, repeats } of all.filter(({ model }) => CHOICES.length === 0 || CHOICES.includes(model))) {
    const rows = [...new Set([1, cpus().length])].map((threads) => ({ threads, ours: [], theirs: [] }));
    let version;
    for (let round = 1; round <= ROUNDS; round++) {
      for (const row of rows) {
        const args = [model, batch, row.threads, repeats].map(String);
        row.ours.push(...lastLine(program, args, "the native half failed").ms);
        const peer = torchSteps(model, batch, row.threads, repeats);
        row.theirs.push(...peer.ms);
        version = peer.torch;
      }
    }
    say(`a training step of ${model}, batch ${batch}, against PyTorch ${version}: ms (min, median, max)`);
    for (const { threads, ours, theirs } of rows) {
      const share = (median(ours) / median(theirs)).toFixed(2);
      console.log(`  ${threads} threads${spread(ours)}${spread(theirs)}   ${share} of its time`);
    }
    await save(`native-step-${model.toLowerCase()}`, { model, batch, torch: version, rows });
  }
}

async function memory() {
  const { measureMemory } = await import("../benchmarks/memory.mjs");
  const print = ({ step, wasmBytes, gpuBytes }) =>
    console.log(
      `  step ${String(step).padStart(3)}   Wasm ${mb(wasmBytes).padStart(9)}   GPU ${mb(gpuBytes).padStart(9)}`,
    );
  say("CPU, in Node");
  const cpu = await measureMemory("cpu", print);
  say("WebGPU, in headless Chromium (software rasteriser: slow)");
  const { page, close } = await openPage("benchmarks/page.html");
  await page.exposeFunction("report", print);
  const webgpu = await page.evaluate(async () => {
    const { measureMemory } = await import("/benchmarks/memory.mjs");
    return measureMemory("webgpu", window.report);
  });
  await close();
  const growth = (samples, key) => samples.at(-1)[key] - samples[0][key];
  console.log("\nGrowth from step 100 to step 1,000");
  console.log(`  CPU: Wasm ${mb(growth(cpu, "wasmBytes"))}`);
  console.log(`  WebGPU: Wasm ${mb(growth(webgpu, "wasmBytes"))}, GPU ${mb(growth(webgpu, "gpuBytes"))}`);
  await save("memory", { cpu, webgpu });
}

async function largeBatches() {
  const { smallB32 } = await import("../benchmarks/shapes.mjs");
  const { memoryByBatch, memoryByDepth, stepTimes } = await import("../benchmarks/large-batches.mjs");
  say("memory after two steps of the emoji model over 4,096 pairs, Wasm CPU in Node");
  const memory = await memoryByBatch(({ batchSize, microBatchSize, wasmBytes }) =>
    console.log(
      `  batch ${String(batchSize).padStart(4)} in ${String(microBatchSize).padStart(4)}s ${mb(wasmBytes).padStart(10)}`,
    ),
  );
  say("memory and time of steps of 64 pairs by blocks of the image tower, with activation checkpointing and without");
  const depth = await memoryByDepth(({ layers, activationCheckpointing, wasmBytes, ms }) => {
    const how = activationCheckpointing ? "checkpoints" : "all kept";
    console.log(
      `  ${String(layers).padStart(2)} blocks, ${how.padEnd(11)} ${mb(wasmBytes).padStart(10)} ${ms.toFixed(0).padStart(6)} ms`,
    );
  });
  const print = (times) => {
    const plain = median(times.plain);
    for (const [name, ms] of Object.entries(times)) {
      console.log(`  ${name.padEnd(24)} ${median(ms).toFixed(0).padStart(6)} ms  ${(median(ms) / plain).toFixed(2)}×`);
    }
    return times;
  };
  say("steps of the emoji model, batch 256, after the first epoch, taken in turn");
  const lock = { plain: {}, "locked image tower": { lock: "image" } };
  const micro = { "micro-batches of 128": { microBatchSize: 128 }, "micro-batches of 32": { microBatchSize: 32 } };
  const emoji = print(await stepTimes({ ...lock, ...micro, Muon: { muon: { lr: 0.02 } } }));
  say("steps of a small model in the proportions of ViT-B/32, batch 64");
  const likeB32 = print(await stepTimes(lock, { config: smallB32, batchSize: 64, count: 256 }));
  await save("large-batches", { memory, depth, emoji, likeB32 });
}

async function augmented() {
  const { measureAugmented } = await import("../benchmarks/augmented.mjs");
  const photo = "test/fixtures/preprocess/images/scene_640x427.jpg";
  const print = ({ round, augment, seconds, waiting }) =>
    console.log(
      `  round ${round}, ${augment ? "cut anew" : "the same "} ${(seconds * 1000).toFixed(0).padStart(6)} ms a step` +
        `${augment ? `, ${(100 * waiting).toFixed(1)} % of it waiting` : ""}`,
    );
  const ratio = (rows) => {
    const of = (augment) => median(rows.filter((row) => row.augment === augment).map(({ seconds }) => seconds));
    console.log(`  ratio of the medians: ${(of(true) / of(false)).toFixed(2)}×`);
    return rows;
  };
  say("64 photographs of 640×427 a step, Wasm CPU in Node");
  const node = ratio(await measureAugmented("cpu", new Uint8Array(readFileSync(join(ROOT, photo))), print));
  say("the same in headless Chromium");
  const { page, close } = await openPage("benchmarks/page.html");
  await page.exposeFunction("report", print);
  const chromium = await page.evaluate(async (address) => {
    const { measureAugmented } = await import("/benchmarks/augmented.mjs");
    const photo = new Uint8Array(await (await fetch(`/${address}`)).arrayBuffer());
    return measureAugmented("cpu", photo, window.report);
  }, photo);
  await close();
  await save("augmented", { node, chromium: ratio(chromium) });
}

const PEERS = join(ROOT, "benchmarks", "peers", "node_modules");
const installPeers = () =>
  run("npm", ["ci", "--prefix", "benchmarks/peers", "--ignore-scripts", "--no-audit", "--no-fund"]);

/** Bytes that a worker downloads: its file, with the glue in it, and its module. */
async function download() {
  installPeers();
  const ours = (name, ...files) => ({ name: `clipwright, ${name}`, files });
  const theirs = (name, ...files) => ({
    name: `onnxruntime-web, ${name}`,
    files: files.map((file) => join(PEERS, "onnxruntime-web", "dist", file)),
  });
  const cores = (work, doing) =>
    [
      ["CPU", "cpu"],
      ["CPU with relaxed SIMD", "cpu-relaxed"],
      ["CPU with relaxed SIMD and threads", "cpu-threads"],
      ["WebGPU", "webgpu"],
    ].map(([device, target]) =>
      ours(`${device}, ${doing}`, join(ROOT, "dist", "workers", `${work}.js`), moduleFile(`${work}-${target}`)),
    );
  const rows = [
    ...cores("encode", "encoding"),
    ...cores("train", "training too"),
    ours("tokenizers that are not CLIP's", moduleFile("tokenizers")),
    theirs("CPU", "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    theirs("WebGPU", "ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
  ].map(({ name, files }) => {
    const bytes = files.map((file) => readFileSync(file));
    const sum = (sizes) => sizes.reduce((a, b) => a + b, 0);
    return {
      name,
      raw: sum(bytes.map((b) => b.length)),
      gzip: sum(bytes.map((b) => gzipSync(b, { level: 9 }).length)),
    };
  });
  for (const { name, raw, gzip } of rows)
    console.log(`  ${name.padEnd(34)} ${mb(raw).padStart(9)} ${mb(gzip).padStart(9)} gzip`);
  await save("download", { rows });
}

/** Folder of the models; makes those that are missing. */
function makeModel(...models) {
  const folder = join(CACHE, "benchmarks");
  say("models with random weights, by PyTorch (kept in the cache folder)");
  run(process.env.PYTHON ?? "python3", ["benchmarks/make-models.py", folder, ...models], {
    orElse: "PyTorch and its friends are needed: see benchmarks/make-models.py, and PYTHON=… to name an interpreter",
  });
  return folder;
}

/** Measures the second visit of a page whose cache has the model, by turns with transformers.js. */
async function load() {
  const [device = "wasm", model = "vit-b-32"] = CHOICES;
  const folder = makeModel(model);
  installPeers();
  const peer = join(PEERS, "@huggingface/transformers");
  const profile = mkdtempSync(join(tmpdir(), "clipwright-profile-"));
  const { origin, version, visit, close } = await openProfile(profile, {
    plugins: [serveModels(folder)],
    alias: {
      "@huggingface/transformers": join(peer, "dist/transformers.web.min.js"),
      "onnxruntime-web/webgpu": join(peer, "node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs"),
    },
  });
  const side = JSON.parse(readFileSync(join(folder, model, "config.json"), "utf8")).vision_config.image_size;
  const request = { base: `${origin}/`, model, device, side };
  const start = (library) =>
    visit("benchmarks/page.html", (page) =>
      page.evaluate(
        async ([library, request]) => (await import("/benchmarks/load.mjs")).firstEmbedding(library, request),
        [library, request],
      ),
    );
  const names = ["clipwright", "transformers"];
  const runs = Object.fromEntries(names.map((name) => [name, []]));
  say(`${model} in Chromium ${version}, ${device}: from an empty page to the first image's embedding`);
  for (let round = 0; round <= ROUNDS + 2; round++) {
    const [ours, theirs] = [await start("clipwright"), await start("transformers")];
    const difference = Math.max(...ours.embedding.map((x, i) => Math.abs(x - theirs.embedding[i])));
    if (!(difference < 1e-4)) fail(`the embeddings differ by ${difference}`);
    for (const [name, { ms, bytes }] of [
      ["clipwright", ours],
      ["transformers", theirs],
    ]) {
      // the first visit fills the cache
      if (round > 0) runs[name].push({ ms, bytes });
      console.log(
        `  ${round > 0 ? `visit ${round}` : "first  "}  ${name.padEnd(14)}${ms.toFixed(0).padStart(8)} ms${mb(bytes).padStart(12)}`,
      );
    }
  }
  await close();
  rmSync(profile, { recursive: true });
  const of = (key) => names.map((name) => median(runs[name].map((run) => run[key])));
  const [[ourMs, theirMs], [ourBytes, theirBytes]] = [of("ms"), of("bytes")];
  console.log(
    `  share of its time ${(ourMs / theirMs).toFixed(2)}×, of its memory ${(ourBytes / theirBytes).toFixed(2)}×`,
  );
  const { version: peerVersion } = JSON.parse(readFileSync(join(peer, "package.json"), "utf8"));
  await save(`load-${model}-${device}`, { chromium: version, model, device, peer: peerVersion, runs });
}

/** Measures encoding and training natively on a GPU, by turns with PyTorch; given a file, reads the result of such a run elsewhere. */
async function nativeGpu([file]) {
  if (file === undefined) {
    file = join(mkdtempSync(join(tmpdir(), "clipwright-gpu-")), "gpu.json");
    const program = await buildNative("gpu", "webgpu", "15 minutes");
    run(process.env.PYTHON ?? "python3", ["benchmarks/gpu.py", program, file], {
      orElse: "a GPU with Vulkan is needed, and PyTorch with CUDA: see benchmarks/gpu.py",
    });
  }
  await save("gpu", JSON.parse(readFileSync(file, "utf8")));
}

/** Measures WebGPU by turns with onnxruntime-web on Dawn in Node; given files, joins the results of such runs elsewhere. */
async function webGpu(files) {
  if (files.length === 0) {
    await build({ release: RELEASE });
    installPeers();
    const folder = makeModel("vit-b-32:gpu", "vit-b-32-f16", "vit-l-14:gpu", "vit-l-14-f16");
    files = [join(mkdtempSync(join(tmpdir(), "clipwright-gpu-")), "gpu-web.json")];
    run(process.execPath, ["benchmarks/gpu-web/bench.mjs", folder, files[0]]);
  }
  const [first, ...more] = files.map((file) => JSON.parse(readFileSync(file, "utf8")));
  for (const { tasks } of more) Object.assign(first.tasks, tasks);
  await save("gpu-web", first);
}

const gpu = () => (CHOICES[0] === "web" ? webGpu(CHOICES.slice(1)) : nativeGpu(CHOICES));

/** Measures encoding by turns with onnxruntime-web, on models that PyTorch makes. */
async function encode() {
  const [provider = "wasm", model = "vit-b-32", ...how] = CHOICES;
  const unknown = how.find((word) => !["threads", "q8"].includes(word));
  if (unknown) fail(`expected threads or q8, got ${unknown}`);
  const [threads, q8] = [how.includes("threads"), how.includes("q8")];
  const folder = makeModel(model);
  installPeers();
  const peer = `ort.${provider === "webgpu" ? "webgpu" : "wasm"}.bundle.min.mjs`;
  const { page, origin, version, close } = await openPage("benchmarks/page.html", {
    plugins: [serveModels(folder)],
    alias: { "onnxruntime-web": join(PEERS, "onnxruntime-web", "dist", peer) },
    isolated: threads,
  });
  const spread = (ms) =>
    [Math.min(...ms), median(ms), Math.max(...ms)].map((n) => n.toFixed(n < 10 ? 1 : 0).padStart(7)).join("");
  say(
    `${model} in Chromium ${version}, ${provider}, ${q8 ? "8-bit weights, " : ""}${threads ? "a thread a core" : "one thread"}: ms (min, median, max), by turns`,
  );
  console.log(`  ${"".padEnd(32)}${"clipwright".padStart(21)}${"onnxruntime-web".padStart(21)}   ratio`);
  await page.exposeFunction("report", ({ task, ours, theirs, difference, cosine }) => {
    const ratio = median(theirs) / median(ours);
    const near = cosine ? `  cosine to f32 ${cosine.ours.toFixed(6)}, ${cosine.theirs.toFixed(6)}` : "";
    console.log(`  ${task.padEnd(32)}${spread(ours)}${spread(theirs)}  ${ratio.toFixed(2)}×${near}`);
    if (!q8 && !(difference < 1e-4)) fail(`${task}: the embeddings differ by ${difference}`);
  });
  const precision = q8 && { dtype: "q8", theirs: ".q8" };
  const request = { base: `${origin}/models/${model}/`, provider, ...precision, batches: [1, 8], rounds: ROUNDS + 2 };
  const measured = await page.evaluate(async (request) => {
    const { measureEncoding } = await import("/benchmarks/encode.mjs");
    return measureEncoding(request, window.report);
  }, request);
  await close();
  const { version: peerVersion } = JSON.parse(readFileSync(join(PEERS, "onnxruntime-web", "package.json"), "utf8"));
  const suffix = how.sort().map((word) => `-${word}`);
  await save(`encode-${model}-${provider}${suffix.join("")}`, {
    chromium: version,
    model,
    provider,
    q8,
    peer: peerVersion,
    ...measured,
  });
}

/** Measures exact search among vectors in memory, in Node and in Chromium, and prints the result. */
/** Prints what `measureIndex` returns. */
function printIndex({ ways, rates, together, million }) {
  const javaScript = median(ways[0].ms);
  const by = (values, digits) =>
    Object.entries(values)
      .map(([storage, value]) => `${storage} ${value.toLocaleString("en", { maximumFractionDigits: digits })}`)
      .join(", ");
  console.log("100,000 vectors of 512, the ten nearest: ms (min, median, max), times as fast, recall@10");
  for (const { name, ms, recall } of ways) {
    const ratio = (javaScript / median(ms)).toFixed(1).padStart(8);
    console.log(`  ${name.padEnd(28)}${spread(ms, 1)}${ratio} ×${recall.toFixed(3).padStart(8)}`);
  }
  console.log(`64 queries at once, ms each: ${by(together, 1)}`);
  console.log(`converted and added, vectors/s: ${by(rates, 0)}`);
  const { ms, seconds, wasmBytes } = million;
  console.log(`1,000,000 vectors in int8, the forty nearest: ms${spread(ms, 1)}; added in ${seconds.toFixed(1)} s`);
  console.log(`  ${mb(wasmBytes)} of Wasm memory`);
}

async function index() {
  const { measureIndex } = await import("../benchmarks/index-scan.mjs");
  let instances = 0;
  const glue = () => import(`../workers/wasm/index.js?instance=${instances++}`);
  say("one thread, Wasm in Node");
  printIndex(await measureIndex(glue, () => readFileSync(moduleFile("index"))));
  say("the same in headless Chromium");
  const { page, close } = await openPage("benchmarks/page.html");
  const measured = await page.evaluate(async () => {
    const { measureIndex } = await import("/benchmarks/index-scan.mjs");
    let instances = 0;
    const glue = () => import(/* @vite-ignore */ `/workers/wasm/index.js?instance=${instances++}`);
    return measureIndex(glue, () => new URL("/workers/wasm/index_bg.wasm", location.href));
  });
  await close();
  printIndex(measured);
}

/** A benchmark in Node that prints its result and writes none. */
const printed = (file) => () => run("node", [`benchmarks/${file}.mjs`, ...CHOICES]);

const benchmarks = {
  encode,
  load,
  download,
  "training-step": trainingStep,
  "native-step": nativeStep,
  memory,
  "large-batches": largeBatches,
  augmented,
  estimate: printed("estimate"),
  "killed-run": printed("killed-run"),
  index,
  gpu,
};
if (!benchmarks[name]) fail(`expected one of ${Object.keys(benchmarks).join(", ")}, got ${name ?? "nothing"}`);
if (!["gpu", "native-step"].includes(name))
  await build({ release: RELEASE, ...(name === "index" && { only: ["index"] }) });
await benchmarks[name]();
process.exit(0);
