/**
 * `npm run dev`: checks the types of ts/ and workers/ at each change, bundles them and tests them in Node. `npm run dev -- tables resume` runs the test
 * files with these words in their names; without names, those that touch every part and end in seconds. Rust is not built,
 * unless a module that Node loads is missing.
 */

import { spawn } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./jobs.mjs";
import { setUpPackages } from "./setup.mjs";
import { buildModules, moduleFile } from "./wasm.mjs";

const MODULES_OF_NODE = ["encode-cpu", "train-cpu", "tokenizers", "index"];
const QUICK = ["api", "captions", "classify", "errors", "images", "options", "probe", "tables", "training.test"];
/** Milliseconds in which several saved files count as one change. */
const SETTLE = 200;

const names = process.argv.slice(2);
const files = (names.length > 0 ? names : QUICK).map((name) => `/${name}`);
let testing;
let again = false;
let timer;

/** Runs the tests; once more if something changes meanwhile. */
function test() {
  if (testing) {
    again = true;
    return;
  }
  testing = spawn("npx", ["vitest", "run", "--project", "node", ...files], { cwd: ROOT, stdio: "inherit" });
  testing.on("close", () => {
    testing = undefined;
    if (!again) return;
    again = false;
    test();
  });
}

function testSoon() {
  clearTimeout(timer);
  timer = setTimeout(test, SETTLE);
}

const missing = MODULES_OF_NODE.filter((name) => !existsSync(moduleFile(name)));
await setUpPackages();
if (missing.length > 0) await buildModules(missing);
const compiler = spawn("npx", ["tsc", "--build", "--watch", "--preserveWatchOutput", "workers", "ts"], {
  cwd: ROOT,
  stdio: ["ignore", "pipe", "inherit"],
});
compiler.stdout.on("data", (chunk) => {
  process.stdout.write(chunk);
  if (String(chunk).includes("Found 0 errors")) testSoon();
});
compiler.on("close", (status) => process.exit(status ?? 1));
watch(join(ROOT, "test"), { recursive: true }, testSoon);
