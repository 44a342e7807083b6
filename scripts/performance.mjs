/** docs/performance.md, made from what the benchmarks wrote to benchmarks/results/. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT, run, say } from "./setup.mjs";

export const RESULTS = join(ROOT, "benchmarks", "results");
const PAGE = join(ROOT, "docs", "performance.md");

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Least, median and largest. */
const spread = (ms) =>
  `${[Math.min(...ms), median(ms), Math.max(...ms)].map((n) => n.toFixed(n < 10 ? 1 : 0)).join(", ")}`;

function read(name) {
  const file = join(RESULTS, `${name}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** Where and when, in words. */
function where({ machine, chromium, commit, date, torch }) {
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, shared, no GPU`,
    `Node ${machine.node.slice(1)}`,
    chromium && `Chromium ${chromium}`,
    torch && `PyTorch ${torch}`,
  ];
  return `${parts.filter(Boolean).join("; ")}; commit ${commit}, ${date.slice(0, 10)}.`;
}

/** Thousand million multiplications and additions of one input: blocks, patches and projection. */
const WORK = {
  "vit-b-32": { image: 8.82, "caption of 77 tokens": 5.96 },
  small: { image: 0.114 },
};

function encoding(name) {
  const result = read(name);
  const rows = result.rows.map(({ task, ours, theirs }) => {
    const [, input, batch] = /^(.*), batch (\d+)$/.exec(task);
    const work = WORK[result.model]?.[input] * Number(batch) * 1e3;
    const rate = (ms) => (work ? (work / median(ms)).toFixed(1) : "");
    const ratio = `**${(median(theirs) / median(ours)).toFixed(2)} ×**`;
    return [task, spread(ours), spread(theirs), ratio, rate(ours), rate(theirs)];
  });
  const { threads = 1 } = result;
  const device =
    result.provider === "webgpu"
      ? "WebGPU on a software rasteriser"
      : `Wasm, ${threads === 1 ? "one thread" : `${threads} threads`}`;
  const command = `npm run bench:encode -- ${result.provider} ${result.model}${threads === 1 ? "" : " threads"}`;
  return [
    `### ${result.model}, ${device}`,
    `\`${command}\`. ${where(result)} onnxruntime-web ${result.peer}.`,
    table(
      ["ms: least, median, most", "clipwright", "onnxruntime-web", "how many times as fast", "GFLOP/s", "its"],
      rows,
    ),
  ];
}

function loading(name) {
  const { model, device, peer, runs, ...rest } = read(name);
  const of = (library, key, unit) => runs[library].map((run) => run[key] / unit);
  const rows = [
    ["milliseconds", "ms", 1],
    ["most memory of the page's process, MB", "bytes", 1e6],
  ].map(([title, key, unit]) => {
    const [ours, theirs] = [of("clipwright", key, unit), of("transformers", key, unit)];
    return [title, spread(ours), spread(theirs), `**${(median(ours) / median(theirs)).toFixed(2)} ×**`];
  });
  return [
    `### ${model}, ${device === "webgpu" ? "WebGPU on a software rasteriser" : "Wasm, one thread"}`,
    `\`npm run bench:load -- ${device} ${model}\`. ${where(rest)} transformers.js ${peer}.`,
    table(["least, median, most", "clipwright", "transformers.js", "share of its"], rows),
  ];
}

function trainingStep() {
  const result = read("training-step");
  if (!result) return [];
  const { ours, native, theirs, tfjs } = result;
  return [
    "## A training step",
    `The emoji model, batch 256: forward, backward, AdamW; TensorFlow.js does less (benchmarks/training-step-tfjs.mjs). \`npm run bench:step\`. ${where(result)}`,
    table(
      ["ms: least, median, most", "one thread"],
      [
        ["clipwright, Wasm in Node (no relaxed SIMD)", spread(ours)],
        ["clipwright, native", spread(native)],
        [`PyTorch ${result.torch}`, spread(theirs)],
        ["TensorFlow.js 4.22, Wasm in Node", spread(tfjs)],
        ["Wasm's share of PyTorch's time", `**${(median(ours) / median(theirs)).toFixed(2)} ×**`],
        ["native share of PyTorch's time", `**${(median(native) / median(theirs)).toFixed(2)} ×**`],
        ["times as fast as TensorFlow.js", `**${(median(tfjs) / median(ours)).toFixed(1)} ×**`],
      ],
    ),
  ];
}

function download() {
  const result = read("download");
  if (!result) return [];
  const mb = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
  return [
    "## What is downloaded",
    `Module and glue, as \`npm run build:release\` makes them; gzip -9. \`npm run bench:download\`. ${where(result)}`,
    table(
      ["", "raw", "gzip"],
      result.rows.map(({ name, raw, gzip }) => [name, mb(raw), mb(gzip)]),
    ),
  ];
}

/** Writes the page from all results that are there. */
export function writePerformance() {
  mkdirSync(RESULTS, { recursive: true });
  const named = (prefix) =>
    readdirSync(RESULTS)
      .filter((file) => file.startsWith(prefix))
      .sort()
      .map((file) => file.slice(0, -".json".length));
  const [encodings, loads] = [named("encode-"), named("load-")];
  const sections = [
    "# Performance",
    "<!-- made by scripts/performance.mjs from benchmarks/results/: run the benchmark, do not edit -->",
    "Each figure is of one run in which both took turns; the machines are shared and noisy, so that only ratios mean anything.",
    ...(encodings.length > 0
      ? [
          "## Encoding",
          "The same random weights, embeddings equal to 1e-4, in one page. Captions have no padding on either side. What limits the kernels: [0014](decisions/0014-rows-against-rows.md) on the CPU, [0016](decisions/0016-webgpu-kernels-in-wgsl.md) on WebGPU.",
          ...encodings.flatMap(encoding),
        ]
      : []),
    ...(loads.length > 0
      ? [
          "## From an empty page to the first image's embedding",
          "A second visit: the model is in the page's cache (files of the origin here, the Cache API there), the library in none.",
          ...loads.flatMap(loading),
        ]
      : []),
    ...trainingStep(),
    ...download(),
  ];
  writeFileSync(PAGE, `${sections.join("\n\n")}\n`);
  run("npx", ["biome", "format", "--write", PAGE]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writePerformance();
  say("wrote docs/performance.md");
}
