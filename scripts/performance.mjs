/** Makes docs/performance.md from benchmarks/results/. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT, run, say } from "./jobs.mjs";

export const RESULTS = join(ROOT, "benchmarks", "results");
const PAGE = join(ROOT, "docs", "performance.md");
/** Folder of the plots. */
const PLOTS = join(ROOT, "docs", "performance");

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = values.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}

/** Minimum, median and maximum. */
const spread = (ms) =>
  `${[Math.min(...ms), median(ms), Math.max(...ms)].map((n) => n.toFixed(n < 10 ? 1 : 0)).join(", ")}`;

function read(name) {
  const file = join(RESULTS, `${name}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** Machine, versions, commit and date of a result. */
function where({ machine, chromium, commit, date, torch, release }) {
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, shared, no GPU`,
    `Node ${machine.node.slice(1)}`,
    chromium && `Chromium ${chromium}`,
    torch && `PyTorch ${torch}`,
    release && "modules as released",
  ];
  return `${parts.filter(Boolean).join("; ")}; commit ${commit}, ${date.slice(0, 10)}.`;
}

/** Option of the command, if the published modules were measured. */
const released = ({ release = false }) => (release ? "--release " : "");

/** GFLOP of one input: blocks, patches and projection. */
const WORK = {
  "vit-b-32": { image: 8.82, "caption of 77 tokens": 5.96 },
  small: { image: 0.114 },
};

/** Heading of a result. */
function encodingTitle({ model, provider, q8 = false, threads = 1 }) {
  const device =
    provider === "webgpu"
      ? "WebGPU on a software rasteriser"
      : `Wasm, ${threads === 1 ? "one thread" : `${threads} threads`}`;
  return `${model}, ${q8 ? "8-bit weights, " : ""}${device}`;
}

function encoding(name) {
  const result = read(name);
  const { q8 = false } = result;
  const rows = result.rows.map(({ task, ours, theirs, cosine }) => {
    const [, input, batch] = /^(.*), batch (\d+)$/.exec(task);
    const work = WORK[result.model]?.[input] * Number(batch) * 1e3;
    const rate = (ms) => (work ? (work / median(ms)).toFixed(1) : "");
    const ratio = `**${(median(theirs) / median(ours)).toFixed(2)} ×**`;
    const near = q8 ? [cosine.ours.toFixed(6), cosine.theirs.toFixed(6)] : [rate(ours), rate(theirs)];
    return [task, spread(ours), spread(theirs), ratio, ...near];
  });
  const { threads = 1 } = result;
  const command = `npm run bench:encode -- ${released(result)}${result.provider} ${result.model}${q8 ? " q8" : ""}${threads === 1 ? "" : " threads"}`;
  const last = q8 ? ["min cosine to f32", "its"] : ["GFLOP/s", "its"];
  return [
    `### ${encodingTitle(result)}`,
    `\`${command}\`. ${where(result)} onnxruntime-web ${result.peer}.`,
    table(["ms: min, median, max", "clipwright", "onnxruntime-web", "× as fast", ...last], rows),
  ];
}

function loading(name) {
  const { model, device, peer, runs, ...rest } = read(name);
  const of = (library, key, unit) => runs[library].map((run) => run[key] / unit);
  const rows = [
    ["milliseconds", "ms", 1],
    ["peak memory of the page's process, MB", "bytes", 1e6],
  ].map(([title, key, unit]) => {
    const [ours, theirs] = [of("clipwright", key, unit), of("transformers", key, unit)];
    return [title, spread(ours), spread(theirs), `**${(median(ours) / median(theirs)).toFixed(2)} ×**`];
  });
  return [
    `### ${model}, ${device === "webgpu" ? "WebGPU on a software rasteriser" : "Wasm, one thread"}`,
    `\`npm run bench:load -- ${released(rest)}${device} ${model}\`. ${where(rest)} transformers.js ${peer}.`,
    table(["min, median, max", "clipwright", "transformers.js", "share of its"], rows),
  ];
}

function trainingStep() {
  const result = read("training-step");
  if (!result) return [];
  const { ours, theirs, tfjs, oursThreads, theirsThreads, threads, webgpu } = result;
  const share = (one, other) => `**${(median(one) / median(other)).toFixed(2)} ×**`;
  return [
    "## A training step",
    `The emoji model, batch 256: forward, backward, AdamW. TensorFlow.js does less (benchmarks/training-step-tfjs.mjs). \`npm run bench:step${result.release ? " -- --release" : ""}\`. ${where(result)}`,
    "![Milliseconds of a training step](performance/training-step.svg)",
    table(
      ["ms: min, median, max", "", "share of PyTorch's time"],
      [
        ["clipwright, Wasm in Node (no relaxed SIMD), one thread", spread(ours), share(ours, theirs)],
        [`PyTorch ${result.torch}, one thread`, spread(theirs), ""],
        ["TensorFlow.js 4.22, Wasm in Node, one thread", spread(tfjs), share(tfjs, theirs)],
        [`clipwright, Wasm in Chromium, ${threads} threads`, spread(oursThreads), share(oursThreads, theirsThreads)],
        [`PyTorch ${result.torch}, ${threads} threads`, spread(theirsThreads), ""],
        ["clipwright, WebGPU on a software rasteriser", spread(webgpu), ""],
      ],
    ),
    `Times as fast as TensorFlow.js: **${(median(tfjs) / median(ours)).toFixed(1)} ×**.`,
  ];
}

/** Section of `bench:native`: each model is measured by itself. */
function nativeSteps(names) {
  const parts = names.map(read).flatMap((result) => {
    const { model, batch, rows } = result;
    const cells = rows.map(({ threads, ours, theirs }) => [
      threads === 1 ? "one thread" : `${threads} threads`,
      spread(ours),
      spread(theirs),
      `**${(median(ours) / median(theirs)).toFixed(2)} ×**`,
    ]);
    const columns = [
      `${model}, batch ${batch}, ms: min, median, max`,
      "clipwright",
      "PyTorch",
      "share of PyTorch's time",
    ];
    return [table(columns, cells), where(result)];
  });
  const title = "## A training step of the native program";
  const what =
    "Forward, backward, AdamW, and ours the gradients' norm; captions of full length. `npm run bench:native`.";
  return parts.length > 0 ? [title, what, ...parts] : [];
}

/** Section of `bench:gpu`. */
function onGpu() {
  const result = read("gpu");
  if (!result) return [];
  const { gpu, driver, torch, commit, date, rows } = result;
  const times = (side, precision, { model, task, batch }) =>
    rows.find(
      (row) =>
        row.side === side &&
        row.precision === precision &&
        row.model === model &&
        row.task === task &&
        row.batch === batch,
    ).ms;
  const ms = (values) => median(values).toFixed(median(values) < 10 ? 1 : 0);
  const compared = (ours, theirs) => [ms(ours), ms(theirs), `**${(median(theirs) / median(ours)).toFixed(2)} ×**`];
  const tasks = rows.filter((row) => row.side === "ours" && row.precision === "f32");
  return [
    "## On a GPU",
    `Natively, wgpu on Vulkan, against PyTorch (transformers' CLIPModel, no TF32) on CUDA; random weights, from pixels or ids on the GPU to embeddings read back; medians by turns. \`npm run bench:gpu\`. ${gpu}, driver ${driver}; PyTorch ${torch}; commit ${commit}, ${date.slice(0, 10)}. In half precision clipwright encodes with f16 weights and PyTorch entirely in f16; to train, both multiply in f16. What limits it: [0020](decisions/0020-blocks-on-gpus.md), in half precision [0022](decisions/0022-matrix-units.md).`,
    table(
      ["ms", "f32", "PyTorch", "× as fast", "f16", "PyTorch", "× as fast"],
      tasks.map((row) => [
        `${row.model}, ${row.task}, batch ${row.batch}`,
        ...compared(times("ours", "f32", row), times("theirs", "f32", row)),
        ...compared(
          times("ours", row.task === "training step" ? "f16" : "f16 weights", row),
          times("theirs", "f16", row),
        ),
      ]),
    ),
  ];
}

/** Section of `bench:gpu -- web`. */
function webOnGpu() {
  const result = read("gpu-web");
  if (!result) return [];
  const { adapter, machine, peer, tasks, commit, date } = result;
  const ms = (values) => median(values).toFixed(1);
  const measured = Object.entries(tasks).filter(([, { rows }]) => rows);
  const rows = measured.flatMap(([name, { rows }]) =>
    rows.map(({ task, ours, theirs, cosine }) => [
      `${name.replace(":", ", ")}: ${task}`,
      ms(ours),
      ms(theirs),
      `**${(median(theirs) / median(ours)).toFixed(2)} ×**`,
      ...(cosine ? [cosine.ours.toFixed(6), cosine.theirs.toFixed(6)] : ["", ""]),
    ]),
  );
  const { train } = tasks;
  const half = adapter.features.includes("shader-f16");
  return [
    "## WebGPU on a GPU",
    `On Dawn, Chromium's WebGPU, in Node: both libraries on one adapter, from pixels or ids in the caller's memory to embeddings there; medians by turns. With 8-bit weights onnxruntime-web has MatMulNBits of 8 bits. \`npm run bench:gpu -- --release web\`. ${adapter.device}, driver ${adapter.description}, ${machine.cpu}, ${machine.cores} cores; Node ${machine.node.slice(1)}; commit ${commit}, ${date.slice(0, 10)}. onnxruntime-web ${peer}.`,
    ...(half ? [] : ["Dawn offers no `shader-f16` on this driver: no rows in f16."]),
    table(["ms", "clipwright", "onnxruntime-web", "× as fast", "min cosine to f32", "its"], rows),
    ...(train
      ? [
          `A training step of the emoji model, batch 256: ${ms(train.webgpu)} ms; on the CPU (Wasm in Node, one thread) ${ms(train.cpu)} ms, **${(median(train.cpu) / median(train.webgpu)).toFixed(0)} ×**.`,
        ]
      : []),
  ];
}

function download() {
  const result = read("download");
  if (!result) return [];
  const mb = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
  return [
    "## Download",
    `Module and worker, as \`npm run build:release\` makes them; gzip -9. \`npm run bench:download\`. ${where(result)}`,
    table(
      ["", "raw", "gzip"],
      result.rows.map(({ name, raw, gzip }) => [name, mb(raw), mb(gzip)]),
    ),
  ];
}

/** Draws the plots if `benchmarks/peers` is installed, which `bench:encode` and `bench:step` do. */
async function draw(encodings) {
  if (!existsSync(join(ROOT, "benchmarks", "peers", "node_modules", "vega"))) return;
  const { ratios, times } = await import("../benchmarks/peers/plots.mjs");
  mkdirSync(PLOTS, { recursive: true });
  // the result with most tasks first: its tasks are the rows
  const results = encodings.map(read).sort((a, b) => b.rows.length - a.rows.length);
  const bars = results.flatMap((result) =>
    result.rows.map(({ task, ours, theirs }) => {
      // captions of full length share a row: 64 tokens for SigLIP, 77 for CLIP
      const row = task.replace(/of (64|77) tokens/, "of full length");
      return { group: encodingTitle(result), task: row, ratio: median(theirs) / median(ours) };
    }),
  );
  writeFileSync(join(PLOTS, "encoding.svg"), await ratios(bars, "Times as fast as onnxruntime-web"));
  const step = read("training-step");
  if (!step) return;
  const { ours, theirs, tfjs, oursThreads, theirsThreads, threads, torch } = step;
  const steps = [
    { name: `PyTorch ${torch}`, ms: median(theirs), ours: false },
    { name: "clipwright, Wasm in Node", ms: median(ours), ours: true },
    { name: "TensorFlow.js 4.22, Wasm in Node", ms: median(tfjs), ours: false },
    { name: `PyTorch, ${threads} threads`, ms: median(theirsThreads), ours: false },
    { name: `clipwright, Wasm in Chromium, ${threads} threads`, ms: median(oursThreads), ours: true },
  ];
  writeFileSync(join(PLOTS, "training-step.svg"), await times(steps, "A training step, ms"));
}

/** Writes the page from all results. */
export async function writePerformance() {
  mkdirSync(RESULTS, { recursive: true });
  const named = (prefix) =>
    readdirSync(RESULTS)
      .filter((file) => file.startsWith(prefix))
      .sort()
      .map((file) => file.slice(0, -".json".length));
  const [encodings, loads] = [named("encode-"), named("load-")];
  await draw(encodings);
  const sections = [
    "# Performance",
    "<!-- made by scripts/performance.mjs from benchmarks/results/: run the benchmark, do not edit -->",
    "Both sides take turns in one run. The machines are shared and noisy, so only ratios within a run mean anything.",
    ...(encodings.length > 0
      ? [
          "## Encoding",
          "Both sides run in one page on the same random weights; embeddings agree to 1e-4 (with 8-bit weights the table has their cosine). Captions have no padding. What limits the kernels: [0014](decisions/0014-rows-against-rows.md) on the CPU, [0016](decisions/0016-webgpu-kernels-in-wgsl.md) on WebGPU.",
          "![Times as fast as onnxruntime-web, by model, device and task](performance/encoding.svg)",
          ...encodings.flatMap(encoding),
        ]
      : []),
    ...(loads.length > 0
      ? [
          "## From an empty page to the first image's embedding",
          "A second visit: the model is cached (in the origin's private file system, or by the Cache API for transformers.js), the library is not.",
          ...loads.flatMap(loading),
        ]
      : []),
    ...trainingStep(),
    ...nativeSteps(named("native-step-")),
    ...onGpu(),
    ...webOnGpu(),
    ...download(),
  ];
  writeFileSync(PAGE, `${sections.join("\n\n")}\n`);
  run("npx", ["biome", "format", "--write", PAGE]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writePerformance();
  say("wrote docs/performance.md");
}
