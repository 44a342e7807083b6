/**
 * `npm run docs`: the reference of the TypeScript API (TypeDoc) and of the crates (rustdoc), in `docs/reference/`. An
 * undocumented export, a broken link and every other warning is an error; `npm run check` checks the same and writes nothing.
 */

import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./build.mjs";
import { mustRun, ROOT, run, say } from "./jobs.mjs";
import { NATIVE_CRATES } from "./native.mjs";
import { setUpReference, WASM_TARGET } from "./setup.mjs";

const OUT = join(ROOT, "docs", "reference");
const TYPEDOC = join(ROOT, "scripts", "reference");

/**
 * The features of other builds, so that Burn is not compiled again: those of the Rust tests, and those of clippy for Wasm, which are all
 * that Wasm has.
 */
const CRATES = {
  native: NATIVE_CRATES,
  wasm: ["clip-module", "clip-wasm", "clipwright-core", "clipwright-kernels"]
    .flatMap((crate) => ["--package", crate])
    .concat(
      `--features=${["train", "webgpu", "relaxed-simd", "threads", "conformance"].map((name) => `clip-module/${name}`)}`,
      ...["--release", "--target", WASM_TARGET],
    ),
};

function rustdoc(options, prefix) {
  const env = { ...process.env, RUSTDOCFLAGS: "-Dwarnings" };
  return mustRun("cargo", ["doc", "--locked", "--no-deps", ...options], {
    env,
    prefix,
    orElse: "rustdoc found errors: they are above",
  });
}

function typedoc(options) {
  const command = join(TYPEDOC, "node_modules", "typedoc", "bin", "typedoc");
  run(process.execPath, [command, "--options", join(TYPEDOC, "typedoc.json"), ...options], {
    orElse: "TypeDoc found errors: they are above",
  });
}

/** Fails on any warning of TypeDoc. Needs the built TypeScript. */
export async function checkTypeDoc() {
  await setUpReference();
  typedoc(["--emit", "none"]);
}

/** Fails on any warning of rustdoc. `prefix` marks its lines. */
export async function checkRustdoc(prefix) {
  for (const options of Object.values(CRATES)) await rustdoc(options, prefix);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build();
  await setUpReference();
  rmSync(OUT, { recursive: true, force: true });
  say("TypeDoc");
  typedoc(["--out", join(OUT, "api")]);
  say("rustdoc");
  // the Wasm build has every feature, so the reference shows the GPU's kernels and the bindings, too
  await rustdoc(CRATES.wasm);
  const metadata = execFileSync("cargo", ["metadata", "--no-deps", "--format-version", "1"], { cwd: ROOT });
  cpSync(join(JSON.parse(metadata).target_directory, WASM_TARGET, "doc"), join(OUT, "rust"), { recursive: true });
  say("built docs/reference/: api/index.html, rust/clip_core/index.html");
}
