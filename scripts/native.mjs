/** The native crates: how cargo is called for them, and where their program is. */

import { join } from "node:path";
import { mustRun, runAside } from "./jobs.mjs";
// sets CARGO_TARGET_DIR
import { setUpRust } from "./setup.mjs";

/**
 * Packages and features of the Rust tests: all at once, so that Burn is compiled once; without the GPU, which the program has by
 * default and which would be compiled besides.
 */
export const NATIVE_CRATES = [
  ...["clipwright-kernels", "clipwright-core", "clip-tokenizers", "clip-index", "clip-cli"].flatMap((name) => [
    "--package",
    name,
  ]),
  "--no-default-features",
  "--features=clipwright-core/train,clipwright-core/threads,clip-cli/remote",
];

/** Builds the native program together with the Rust tests, unless it is built, and returns its path. */
export async function nativeProgram() {
  const { status, output } = await runAside("cargo", ["test", "--locked", "--no-run", ...NATIVE_CRATES]);
  if (status !== 0) throw new Error(`cargo could not build the native program: ${output}`);
  return join(process.env.CARGO_TARGET_DIR, "debug", process.platform === "win32" ? "clipwright.exe" : "clipwright");
}

/** Builds the native program as it is installed, with features of its own if given; returns its path, or that which CLIPWRIGHT names. */
export async function releasedProgram(features = [], env = process.env) {
  if (process.env.CLIPWRIGHT) return process.env.CLIPWRIGHT;
  await setUpRust();
  await mustRun("cargo", ["build", "--locked", "--release", "--package", "clip-cli", ...features], { env });
  return join(process.env.CARGO_TARGET_DIR, "release", process.platform === "win32" ? "clipwright.exe" : "clipwright");
}

/** Settings as a config file of the program has them. */
export const toToml = (settings) =>
  Object.entries(settings)
    .map(([name, value]) => `${name} = ${JSON.stringify(value).replaceAll(/"(\w+)":/g, "$1 = ")}\n`)
    .join("");
