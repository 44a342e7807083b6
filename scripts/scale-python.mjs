/** The tests of scale/, with Pythons of their own: the driver on Ray, the hand-over to PyTorch. */

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mustRun, ROOT, runAside, timed } from "./jobs.mjs";
import { nativeProgram } from "./native.mjs";
import { setUpPython } from "./python.mjs";
import { setUpRust } from "./setup.mjs";
import { count } from "./test.mjs";

const SCALE = join(ROOT, "scale");

/**
 * Runs `work` with a Python that has the packages of a file of requirements, and a copy of the native program, which a build beside the
 * tests does not replace.
 */
async function prepared(requirements, work) {
  await setUpRust();
  const python = await setUpPython(join(SCALE, requirements));
  const folder = mkdtempSync(join(tmpdir(), "clipwright-scale-"));
  const program = join(folder, "clipwright");
  copyFileSync(await nativeProgram(), program);
  await work(python, program);
  rmSync(folder, { recursive: true, force: true });
}

/** Runs pytest on a folder of scale/ and counts the results. */
async function pytest(python, folder, program) {
  const env = { ...process.env, CLIPWRIGHT: program, PYTHONDONTWRITEBYTECODE: "1" };
  const args = ["-m", "pytest", "-p", "no:cacheprovider", "--durations=5", "-rP", folder];
  const { status, output } = await runAside(python, args, { cwd: SCALE, prefix: "python   |", env });
  const summary = output.trim().split("\n").at(-1);
  const [passed = 0, failed = 0] = ["passed", "failed|error"].map((word) =>
    [...summary.matchAll(new RegExp(`(\\d+) (?:${word})s?\\b`, "g"))].map(([, number]) => Number(number)).at(-1),
  );
  count({ passed, failed: status !== 0 && failed === 0 ? 1 : failed });
}

/** Lints scale/, and embeds on two Ray nodes of this machine. */
export const testRay = () =>
  prepared("requirements.txt", async (python, program) => {
    await timed("lints of Python", async () => {
      await mustRun(python, ["-m", "ruff", "check", SCALE], { orElse: "run ruff check --fix scale" });
      await mustRun(python, ["-m", "ruff", "format", "--check", SCALE], { orElse: "run ruff format scale" });
    });
    await timed("tests on two Ray nodes", () => pytest(python, "tests", program));
  });

/** Trains in OpenCLIP what was trained here, and here what was trained there: gigabytes of packages. */
export const testTorch = () =>
  prepared("requirements-torch.txt", (python, program) =>
    timed("the hand-over to PyTorch", () => pytest(python, "tests_torch", program)),
  );

/** Embeds 10,000 images with ten kills. */
export const killTenTimes = () =>
  prepared("requirements.txt", async (python, program) => {
    const script = join(SCALE, "tests", "kill_ten_times.py");
    await timed("10,000 images, ten kills", () => mustRun(python, [script, program], { prefix: "python   |" }));
    count({ passed: 1 });
  });
