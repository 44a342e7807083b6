/** Size limits of the modules: as measured on 2026-11-26, plus 5 %. */

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { fail } from "./jobs.mjs";

/** Megabytes, gzip -9: of a module built for tests, and of the published one. */
const LIMITS = {
  "encode-cpu": [1.11, 0.76],
  "encode-cpu-relaxed": [1.11, 0.76],
  "encode-cpu-threads": [1.14, 0.78],
  "encode-cpu-threads-plain": [1.14, 0.78],
  "encode-webgpu": [4.36, 2.4],
  "train-cpu": [1.7, 1.19],
  "train-cpu-relaxed": [1.7, 1.19],
  "train-cpu-threads": [1.74, 1.22],
  "train-cpu-threads-plain": [1.74, 1.22],
  "train-webgpu": [6.39, 3.57],
  tokenizers: [0.96, 0.66],
};

/** Prints the size of a module; ends the program if it exceeds the limit. */
export function checkSize(name, file, published) {
  const bytes = readFileSync(file);
  const [raw, gzip] = [bytes.length, gzipSync(bytes, { level: 9 }).length].map((size) => size / 1e6);
  const limit = LIMITS[name][published ? 1 : 0];
  console.log(`  ${name}: ${raw.toFixed(2)} MB, ${gzip.toFixed(2)} MB gzip (limit ${limit})`);
  if (gzip > limit)
    fail(`the module ${name} has grown to ${gzip.toFixed(2)} MB gzip, over ${limit}: scripts/sizes.mjs`);
}
