/**
 * Checks that exports load unchanged in PyTorch's libraries, with equal logits: trains a little, exports folders for transformers
 * and OpenCLIP and an adapter for PEFT, and loads them by `benchmarks/fidelity/check-export.py`, also with the guide's lines.
 *
 *     PYTHON=… npm run check:export      (pip install torch transformers open_clip_torch peft)
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { ROOT, say } from "./jobs.mjs";

const TOLERANCE = 1e-4;
// only PNGs that all crop alike: of 47 × 32 pixels transformers keeps other columns than OpenCLIP
const IMAGES = ["checker_300x300.png", "noise_60x45.png", "gradient_37x211.png", "gray_75x50.png"];

await build();
const { ClipTrainer } = await import("clipwright");
const { emojiPairs } = await import("../benchmarks/emoji.mjs");

const folder = mkdtempSync(join(tmpdir(), "clipwright-export-"));
const write = (name, data) => writeFileSync(join(folder, name), data);
// the names in the guide
const FOLDERS = { hf: "my-clip", open_clip: "my-open-clip" };
for (const name of [...Object.values(FOLDERS), "adapter", "images"]) mkdirSync(join(folder, name));

say("training a small model, and an adapter beside it");
const config = {
  embedDim: 64,
  vision: { imageSize: 32, patchSize: 8, width: 64, layers: 2, heads: 2 },
  text: { contextLength: 16, width: 64, layers: 2, heads: 2 },
};
const pairs = (await emojiPairs()).slice(0, 256);
const options = { batchSize: 64, epochs: 10, truncate: true };
const trainer = await ClipTrainer.create({ config, device: "cpu", seed: 1 });
for await (const _ of trainer.fit(pairs, options));
const texts = pairs.slice(0, 8).map(({ text }) => text);
const fixtures = join(ROOT, "test", "fixtures", "preprocess", "images");
const images = IMAGES.map((name) => new Uint8Array(readFileSync(join(fixtures, name))));
for (const name of IMAGES) cpSync(join(fixtures, name), join(folder, "images", name));
const logits = async () => {
  const { logitsPerImage, shape } = await trainer.logits(images, texts);
  return Array.from({ length: shape[0] }, (_, i) => [...logitsPerImage.subarray(i * shape[1], (i + 1) * shape[1])]);
};
const expected = { texts, images: IMAGES, contextLength: config.text.contextLength, logits: await logits() };
for (const layout of ["hf", "open_clip"]) {
  for (const { name, data } of await trainer.exportFiles(layout)) write(join(FOLDERS[layout], name), data);
}
for await (const _ of trainer.fit(pairs, { ...options, lora: { rank: 4, alpha: 8 } }));
expected.adapted = await logits();
const { weights, config: adapterConfig } = await trainer.exportAdapter();
write(join("adapter", "adapter_model.safetensors"), weights);
write(join("adapter", "adapter_config.json"), adapterConfig);
write("expected.json", JSON.stringify(expected));
trainer.dispose();

say("loading it with PyTorch's libraries");
const python = process.env.PYTHON ?? "python3";
const answer = execFileSync(python, [join(ROOT, "benchmarks", "fidelity", "check-export.py"), folder], {
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
rmSync(folder, { recursive: true });
const { errors, guide, ...versions } = JSON.parse(answer.trim().split("\n").at(-1));
for (const [library, error] of Object.entries(errors)) {
  console.log(`${library} ${versions[library]}: logits differ by ${error.toExponential(1)} at most`);
  if (!(error <= TOLERANCE)) process.exitCode = 1;
}
if (guide) console.log(`the guide's lines in Python ran: ${guide.join(", ")}`);
else console.log("peft is not installed: its adapter was not loaded, and the guide's lines did not run");
