/**
 * `npm run fidelity`: compares models of real size with PyTorch's, on random weights: natively, in Node, in Chromium on the CPU
 * and WebGPU. Writes `benchmarks/results/fidelity.json` and the table of `docs/fidelity.md`. Takes an hour and 5 GB of models;
 * `-- vit-b-32` compares one model, `--no-webgpu` skips WebGPU in Chromium, `--vulkan` adds native Vulkan (llvmpipe works, too;
 * its first build takes ten minutes).
 */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { compare, measure } from "../benchmarks/fidelity/measure.mjs";
import { parseSafetensors } from "../test/safetensors.mjs";
import { build } from "./build.mjs";
import { fail, ROOT, run, say } from "./jobs.mjs";
import { openPage, serveModels } from "./page.mjs";
import { CACHE } from "./setup.mjs";

const MODELS = ["vit-b-32", "vit-b-32-f16", "vit-b-16", "vit-l-14", "rn50", "mobileclip2-s0", "siglip-b-16"];
/** A tower takes minutes on a software rasteriser: one input for the larger models, and only the text tower of the largest. */
const ON_WEBGPU = {
  "vit-b-32": {},
  "vit-b-16": { rows: 1 },
  // splits token embeddings at WebGPU's default limit; SwiftShader's is higher
  "vit-l-14": { towers: "text", maxTensorBytes: 128 << 20 },
  rn50: { rows: 1 },
  "mobileclip2-s0": { rows: 1 },
  "siglip-b-16": { rows: 1 },
};
const PICTURES = "test/fixtures/preprocess/decoded";

const options = process.argv.slice(2);
const webgpu = !options.includes("--no-webgpu");
const vulkan = options.includes("--vulkan");
const named = options.filter((option) => !option.startsWith("--"));
const models = named.length > 0 ? named : MODELS;
const unknown = models.find((name) => !MODELS.includes(name));
if (unknown) fail(`unknown model ${unknown}: expected ${MODELS.join(", ")}`);

const folder = join(CACHE, "fidelity");

async function openModels() {
  const { page, origin, version, close } = await openPage("benchmarks/fidelity/page.html", {
    plugins: [serveModels(folder)],
  });
  await page.waitForFunction(() => window.measure);
  return {
    version,
    close,
    measure: (name, device, options = {}) =>
      page.evaluate((request) => window.measure(request), {
        base: `${origin}/models/${name}/`,
        pictures: `${origin}/${PICTURES}/`,
        device,
        ...options,
      }),
  };
}

function native(name, gpu) {
  const out = join(folder, "answers.safetensors");
  const build = ["run", "--release", "--locked", "--quiet", "--package", "clipwright-core", "--example", "fidelity"];
  const args = [
    ...build,
    ...(gpu ? ["--features", "webgpu"] : []),
    "--",
    join(folder, name),
    join(ROOT, PICTURES),
    out,
  ];
  const { status, stderr } = spawnSync("cargo", [...args, ...(gpu ? ["webgpu"] : [])], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) fail(`the native half failed: ${stderr.trim().split("\n").at(-1)}`);
  const parse = (path) => parseSafetensors(new Uint8Array(readFileSync(path)));
  const { tensors, metadata } = parse(out);
  const golden = parse(join(folder, name, "golden.safetensors")).tensors;
  const notes = JSON.parse(readFileSync(join(folder, name, "golden.json"), "utf8"));
  const answers = {
    image: tensors.get("image_embeds"),
    text: tensors.get("text_embeds"),
    pixels: tensors.get("pixel_values").data,
    ids: tensors.get("input_ids").data,
  };
  return compare(answers, golden, notes, JSON.parse(metadata.preprocess).std);
}

function tell(where, result) {
  const part = (name) =>
    result[name] ? `${name} max ${result[name].max.toExponential(1)} cosine ${result[name].cosine.toFixed(7)}` : "";
  const load = result.load
    ? `load ${result.load.seconds.toFixed(1)} s, Wasm ${(result.load.wasmBytes / 1e6).toFixed(0)} MB`
    : "";
  console.log(`  ${where.padEnd(18)} ${[part("image"), part("text"), load].filter(Boolean).join("; ")}`);
}

/** Writes the table of docs/fidelity.md between its marks. */
function writeTable(results) {
  const e = (n) => (n === 0 ? "0" : n.toExponential(1));
  const lines = [
    "| model | where | images: max, mean | texts: max, mean | smallest cosine | pixels: max, mean | tokens wrong |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const { model, where, result } of results) {
    const { image, text, pixels, tokens } = result;
    const cosine = Math.min(image?.cosine ?? 1, text?.cosine ?? 1);
    const pair = (part) => (part ? `${e(part.max)}, ${e(part.mean)}` : "–");
    lines.push(
      `| ${model} | ${where} | ${pair(image)} | ${pair(text)} | ${cosine.toFixed(7)} | ${pair(pixels)} | ${tokens ?? "–"} |`,
    );
  }
  const file = join(ROOT, "docs", "fidelity.md");
  const page = readFileSync(file, "utf8");
  const marked = /(<!-- table -->)[\s\S]*?(<!-- \/table -->)/;
  writeFileSync(
    file,
    page.replace(marked, (_, before, after) => `${before}\n\n${lines.join("\n")}\n\n${after}`),
  );
  run("npx", ["biome", "format", "--write", file]);
}

await build();
say("models, by PyTorch (about 4 GB, kept in the cache folder)");
run(process.env.PYTHON ?? "python3", ["benchmarks/fidelity/make-models.py", folder, ...models], {
  orElse:
    "PyTorch and its friends are needed: see benchmarks/fidelity/make-models.py, and PYTHON=… to name an interpreter",
});
const { Clip } = await import("clipwright");
const page = await openModels();
const results = [];
for (const model of models) {
  say(model);
  const add = (where, result) => {
    results.push({ model, where, result });
    tell(where, result);
  };
  add("native CPU", native(model, false));
  if (vulkan) add("native WebGPU (Vulkan)", native(model, true));
  const here = join(folder, model);
  const file = (path) => new Uint8Array(readFileSync(path));
  add(
    "Node, Wasm CPU",
    await measure(Clip, {
      source: here,
      device: "cpu",
      read: async (name) => file(join(here, name)),
      picture: async (name) => file(join(ROOT, PICTURES, `${name}.png`)),
    }),
  );
  add("Chromium, Wasm CPU", await page.measure(model, "cpu"));
  if (webgpu && ON_WEBGPU[model]) add("Chromium, WebGPU", await page.measure(model, "webgpu", ON_WEBGPU[model]));
}
const { version } = page;
await page.close();
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim();
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, chromium: version };
mkdirSync(join(ROOT, "benchmarks", "results"), { recursive: true });
writeFileSync(
  join(ROOT, "benchmarks", "results", "fidelity.json"),
  `${JSON.stringify({ date: new Date().toISOString(), commit, machine, results }, null, 2)}\n`,
);
if (named.length === 0) writeTable(results);
process.exit(0);
