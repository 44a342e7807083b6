/**
 * Builds the Wasm modules and the TypeScript if their sources changed. `--release` makes the modules small; `--only encode-cpu`
 * (repeated, or separated by commas) builds one module and the TypeScript.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, ROOT, run, say, setUpBuild, setUpRustSource, WASM_TARGET } from "./setup.mjs";
import { checkSize } from "./sizes.mjs";

const GLUE = join(ROOT, "workers", "wasm");
/** Has the hash of the sources that the modules in `GLUE` were built from. */
const STAMP = join(GLUE, ".stamp");
/** Features of each core: CPU, CPU with relaxed SIMD, CPU with threads, WebGPU. */
const CORES = {
  cpu: [],
  "cpu-relaxed": ["relaxed-simd"],
  "cpu-threads": ["relaxed-simd", "threads"],
  webgpu: ["webgpu"],
};
const coresWith = (work, ...more) =>
  Object.entries(CORES).map(([name, features]) => [
    `${work}-${name}`,
    { crate: "clip-module", features: [...features, ...more] },
  ]);
/** The modules: cores that encode, cores that also train, and Hugging Face's tokenizers. */
export const MODULES = {
  ...Object.fromEntries([...coresWith("encode"), ...coresWith("train", "train")]),
  tokenizers: { crate: "tokenizers-wasm", features: [] },
};
/** Path of a module. */
export const moduleFile = (name) => join(GLUE, `${name}_bg.wasm`);

/** Hash of all sources of the modules. */
function sourceHash(release) {
  const hash = createHash("sha256").update(String(release));
  const add = (path) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else hash.update(path.slice(ROOT.length)).update(readFileSync(path));
  };
  for (const path of ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "crates", "scripts/build.mjs"])
    add(join(ROOT, path));
  return hash.digest("hex");
}

/**
 * Flags of a release, besides the profile `dist`: they strip panic messages from Rust's own library.
 */
const RELEASE_FLAGS = ["-Z", "unstable-options", "-C", "panic=immediate-abort"];

/** Symbols that wasm-bindgen needs for thread-local variables. */
const THREAD_SYMBOLS = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base"];
const THREAD_FLAGS = ["--shared-memory", "--import-memory", "--max-memory=4294967296"]
  .concat(THREAD_SYMBOLS.map((symbol) => `--export=${symbol}`))
  .flatMap((link) => ["-C", `link-arg=${link}`]);

/** Options to compile Rust's own library from source, so that the flags apply to it, too. */
function withOwnLibrary({ threads, release }) {
  setUpRustSource();
  // replaces the flags in .cargo/config.toml, so repeats them
  const flags = [
    ["-C", `target-feature=+simd128${threads ? ",+atomics" : ""}`, "--cfg", 'getrandom_backend="wasm_js"'],
    threads ? THREAD_FLAGS : [],
    release ? RELEASE_FLAGS : [],
  ].flat();
  const folders = [...(release ? ["dist"] : []), ...(threads ? ["threads"] : [])];
  return {
    options: ["-Z", "build-std=panic_abort,std"],
    targetDir: join(process.env.CARGO_TARGET_DIR, ...folders),
    env: { RUSTC_BOOTSTRAP: "1", CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f") },
  };
}

/**
 * Folds additions to an address into the offset of its load or store, which costs engines nothing. LLVM does not where it has lost
 * the proof that the sum does not wrap: docs/decisions/0021. The pass may assume it, because the first 1,024 bytes are unused: they
 * are the far end of the stack.
 */
const FOLD_OFFSETS = ["--low-memory-unused", "--optimize-added-constants"];

/** Sorts similar functions next to each other, where gzip finds them: 2.7 % of a released CPU module. */
const GROUP_FUNCTIONS = ["--duplicate-function-elimination", "--reorder-functions-by-name", "--reorder-locals"];

/** Removes the names of functions. `strip` in the profile would also remove the section of features that wasm-bindgen reads. */
function withoutNames(wasm) {
  const kept = [wasm.subarray(0, 8)];
  for (let at = 8; at < wasm.length; ) {
    const begin = at;
    const id = wasm[at++];
    let [size, factor, byte] = [0, 1, 0];
    do {
      byte = wasm[at++];
      size += (byte & 127) * factor;
      factor *= 128;
    } while (byte & 128);
    const isNames = id === 0 && wasm.subarray(at, at + 5).equals(Buffer.from("\x04name"));
    at += size;
    if (!isNames) kept.push(wasm.subarray(begin, at));
  }
  return Buffer.concat(kept);
}

/** Builds a module and its glue by wasm-pack; with threads by cargo, because wasm-pack insists on rustup's library. */
function buildModule(name, { crate, features: ownFeatures }, release) {
  // tests compare the kernels with their references: published modules do without the code
  const features = [...ownFeatures, ...(ownFeatures.includes("train") && !release ? ["conformance"] : [])];
  const threads = features.includes("threads");
  const own = threads || release ? withOwnLibrary({ threads, release }) : undefined;
  const targetDir = own?.targetDir ?? process.env.CARGO_TARGET_DIR;
  const env = { ...process.env, ...own?.env, CARGO_TARGET_DIR: targetDir };
  const orElse = `${name} could not be built: the compiler's message is above`;
  const profile = release ? "dist" : "release";
  const cargo = ["--locked", `--features=${features}`, ...(own?.options ?? [])];
  if (threads) {
    run("cargo", ["build", "-p", crate, "--lib", "--profile", profile, "--target", WASM_TARGET, ...cargo], {
      env,
      orElse,
    });
    const built = join(targetDir, WASM_TARGET, profile, `${crate.replace("-", "_")}.wasm`);
    const options = ["--target", "web", "--omit-default-module-path", "--out-dir", GLUE, "--out-name", name];
    run("wasm-bindgen", [built, ...options]);
  } else {
    const options = ["--mode", "no-install", "--profile", profile, "--target", "web", "--no-pack", "--out-dir", GLUE];
    run("wasm-pack", ["build", `crates/${crate}`, ...options, "--out-name", name, "--", ...cargo], { env, orElse });
  }
  const file = moduleFile(name);
  // the modules for WebGPU have no SIMD kernels to optimise
  const hasKernels = crate === "clip-module" && !features.includes("webgpu");
  if (hasKernels) run("npx", ["wasm-opt", "-g", ...FOLD_OFFSETS, ...GROUP_FUNCTIONS, file, "-o", file]);
  else if (release) run("npx", ["wasm-opt", "-g", ...GROUP_FUNCTIONS, file, "-o", file]);
  if (release) writeFileSync(file, withoutNames(readFileSync(file)));
}

function buildWasm(release) {
  const hash = sourceHash(release);
  const there = Object.keys(MODULES).every((name) => existsSync(moduleFile(name)));
  if (there && existsSync(STAMP) && readFileSync(STAMP, "utf8") === hash) return;
  say("building the Wasm modules (the first time that takes more than twenty minutes)");
  for (const [name, module] of Object.entries(MODULES)) {
    buildModule(name, module, release);
    if (release) checkSize(name, moduleFile(name), true);
  }
  writeFileSync(STAMP, hash);
}

function buildTypeScript() {
  run("npx", ["tsc", "--build", "workers", "ts"], { orElse: "TypeScript found errors: they are above" });
  // in processes of their own: the packages may just have been installed
  run(process.execPath, ["scripts/bundle.mjs"], { orElse: "dist/ could not be bundled: the message is above" });
  run(process.execPath, ["scripts/types.mjs"], { orElse: "the types could not be rolled up: the message is above" });
}

/** Builds some modules. The next whole build builds all modules again. */
export function buildOnly(names, { release = false } = {}) {
  for (const name of names) buildModule(name, MODULES[name], release);
  rmSync(STAMP, { force: true });
}

/** Builds what has changed: Wasm modules, then TypeScript. */
export function build({ release = false } = {}) {
  setUpBuild();
  buildWasm(release);
  buildTypeScript();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { release, only } = commandLine();
  if (only.length > 0) {
    setUpBuild();
    buildOnly(only, { release });
    buildTypeScript();
  } else build({ release });
  say("built dist/");
}

function commandLine() {
  const { values } = parseArgs({
    options: { release: { type: "boolean", default: false }, only: { type: "string", multiple: true, default: [] } },
  });
  const only = values.only.flatMap((names) => names.split(","));
  const unknown = only.find((name) => !(name in MODULES));
  if (unknown) fail(`unknown module ${unknown}: --only takes ${Object.keys(MODULES).join(", ")}`);
  return { release: values.release, only };
}
