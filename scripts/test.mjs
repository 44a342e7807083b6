/**
 * `npm test`: the Rust tests beside the build, and beside vitest in Node and in headless Chromium, over the built package. The last
 * line counts all of them. `--release` tests the modules as they are published, which cannot compare their kernels with the references.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, checkTestTypes } from "./build.mjs";
import { fail, runAside, say, since, timed } from "./jobs.mjs";
import { NATIVE_CRATES } from "./native.mjs";
import { setUpChromium, setUpRust, setUpVulkan, toolEnvironment } from "./setup.mjs";

const total = { passed: 0, failed: 0 };

/** Counts results. */
export function count({ passed = 0, failed = 0 }) {
  total.passed += passed;
  total.failed += failed;
}

/** Runs cargo's tests of some packages and counts the results. */
export async function cargoTest(packages, env = process.env) {
  const { status, output } = await runAside("cargo", ["test", "--locked", ...packages], {
    prefix: "rust     |",
    // the modules and the tests in browsers take longer
    yielding: true,
    env,
  });
  const results = [...output.matchAll(/^test result: .* (\d+) passed; (\d+) failed/gm)];
  for (const [, passed, failed] of results) count({ passed: Number(passed), failed: Number(failed) });
  // a build that fails runs no test
  if (status !== 0 && !results.some(([, , failed]) => failed !== "0")) count({ failed: 1 });
}

/** Runs the Rust tests, which need nothing that is built: they are compiled beside the modules. */
export async function testRust() {
  await setUpRust();
  await timed("Rust tests", async () => {
    await cargoTest(NATIVE_CRATES);
    await cargoTest(["--package", "wasm-bindgen-command", "--profile", "tool"], toolEnvironment());
  });
}

/** Runs the tests of the tool that draws icons, which nothing else needs: `.ci/run` does, `npm test` does not. */
export const testDrawing = () => timed("tests of svg-shards", () => cargoTest(["--package", "svg-shards"]));

/** Runs projects of vitest.config.ts and counts the results. */
async function vitest(prefix, projects, env) {
  const folder = mkdtempSync(join(tmpdir(), "clipwright-test-"));
  const report = join(folder, "vitest.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile=${report}`];
  const args = ["vitest", "run", ...projects.flatMap((project) => ["--project", project]), ...reporters];
  const { status } = await runAside("npx", args, { prefix, env: { ...process.env, ...env } });
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
    count({ passed: numPassedTests, failed: status !== 0 && numFailedTests === 0 ? 1 : numFailedTests });
  } catch {
    count({ failed: 1 });
  }
  rmSync(folder, { recursive: true, force: true });
}

/** Runs the tests over the built package, side by side: those with servers and browsers wait half of their time. */
export async function testPackage({ chromium, release = false }) {
  await setUpVulkan();
  const env = { CHROMIUM_PATH: chromium, CLIPWRIGHT_PUBLISHED: String(release), CLIPWRIGHT_BUNDLED: "true" };
  await Promise.all([
    timed("vitest in Node", () => vitest("node     |", ["node"], env)),
    timed("vitest in headless Chromium", () => vitest("chromium |", ["chromium*", "one-thread"], env)),
  ]);
}

/** Says how long all took and, in the last line, how many tests passed; ends the program. */
export function conclude(began) {
  say(`tests took ${since(began)}`);
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const began = performance.now();
  const unknown = process.argv.slice(2).filter((argument) => argument !== "--release");
  if (unknown.length > 0) fail(`unknown option ${unknown[0]}: npm test takes --release only`);
  const release = process.argv.includes("--release");
  const chromium = setUpChromium();
  const rust = testRust();
  await build({ release });
  await checkTestTypes();
  await Promise.all([rust, testPackage({ release, chromium: await chromium })]);
  conclude(began);
}
