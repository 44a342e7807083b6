/**
 * `npm test`: the Rust tests, then vitest in Node and in headless Chromium over the built package. The last line counts
 * all of them. `--release` tests the modules as they are published, which cannot compare their kernels with the references.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { fail, ROOT, run, say, setUpChromium } from "./setup.mjs";

const total = { passed: 0, failed: 0 };

/** Runs cargo's tests, shows the output and counts the results. */
function cargoTest() {
  say("Rust tests");
  return new Promise((resolve) => {
    // both packages at once, so that Burn is compiled once
    const packages = ["--package", "clip-kernels", "--package", "clip-core", "--features=clip-core/threads"];
    const cargo = spawn("cargo", ["test", "--locked", ...packages], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    cargo.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      out += chunk;
    });
    cargo.on("close", (status) => {
      const results = [...out.matchAll(/^test result: .* (\d+) passed; (\d+) failed/gm)];
      for (const [, passed, failed] of results) {
        total.passed += Number(passed);
        total.failed += Number(failed);
      }
      // a build that fails runs no test
      if (status !== 0 && !results.some(([, , failed]) => failed !== "0")) total.failed++;
      resolve();
    });
  });
}

function vitest(chromium, release) {
  say("vitest in Node and in headless Chromium (WebGPU there is software: minutes)");
  const folder = mkdtempSync(join(tmpdir(), "clipwright-test-"));
  const report = join(folder, "vitest.json");
  return new Promise((resolve) => {
    const child = spawn("npx", ["vitest", "run", "--reporter=default", "--reporter=json", `--outputFile=${report}`], {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, CHROMIUM_PATH: chromium, CLIPWRIGHT_PUBLISHED: String(release) },
    });
    child.on("close", (status) => {
      try {
        const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
        total.passed += numPassedTests;
        total.failed += numFailedTests;
        if (status !== 0 && numFailedTests === 0) total.failed++;
      } catch {
        total.failed++;
      }
      rmSync(folder, { recursive: true, force: true });
      resolve();
    });
  });
}

const unknown = process.argv.slice(2).filter((argument) => argument !== "--release");
if (unknown.length > 0) fail(`unknown option ${unknown[0]}: npm test takes --release only`);
const release = process.argv.includes("--release");
build({ release });
const chromium = setUpChromium();
run("npx", ["tsc", "--project", "examples"], { orElse: "the types of the tests or examples are wrong: see above" });
await cargoTest();
await vitest(chromium, release);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
