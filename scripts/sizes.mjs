/** Size limits: as measured on 2026-11-27, plus 5 %. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { fail, ROOT } from "./jobs.mjs";

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
  tokenizers: [1, 0.66],
  index: [0.068, 0.055],
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

/** Kilobytes, gzip -9, of the files that browsers download besides the modules, each with the chunks that it imports. */
const FILE_LIMITS = {
  "encode.js": 14.7,
  "index.js": 24.9,
  "search.js": 20.4,
  "workers/encode.js": 29,
  "workers/train.js": 33.6,
  "workers/images.js": 15,
  "workers/thread.js": 7,
  "workers/search.js": 79.3,
};

/** Megabytes of the package with modules built for tests, packed and unpacked. */
const PACKAGE_LIMITS = { size: 24.1, unpackedSize: 119 };

/** Ends the program if something exceeds its limit. */
function check(name, amount, limit, unit) {
  console.log(`  ${name}: ${amount.toFixed(1)} ${unit} (limit ${limit})`);
  if (amount > limit) fail(`${name} has grown to ${amount.toFixed(1)} ${unit}, over ${limit}: scripts/sizes.mjs`);
}

/** A file of dist/, and those that it imports. */
function withImports(file, found = new Set()) {
  found.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/\bfrom ?"(\.[^"]+)"/g);
  for (const imported of [...imports].map(([, address]) => join(dirname(file), address)))
    if (!found.has(imported)) withImports(imported, found);
  return found;
}

/** Checks the sizes of dist/'s files for browsers. */
export function checkFiles() {
  for (const [name, limit] of Object.entries(FILE_LIMITS)) {
    const files = [...withImports(join(ROOT, "dist", name))];
    const bytes = files.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
    check(`${name}, gzip`, bytes / 1e3, limit, "kB");
  }
}

/** Packs the package as npm does, checks its size, and runs `use` with the path of the tarball. */
export function withPackage(use) {
  const folder = mkdtempSync(join(tmpdir(), "clipwright-pack-"));
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
  const [packed] = Object.values(JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" })));
  for (const [name, limit] of Object.entries(PACKAGE_LIMITS))
    check(`package, ${name}`, packed[name] / 1e6, limit, "MB");
  use(join(folder, packed.filename));
  rmSync(folder, { recursive: true });
}
