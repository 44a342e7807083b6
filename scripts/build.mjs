/**
 * Builds the Wasm modules and the TypeScript if their sources changed. `--release` makes the modules small; `--only encode-cpu`
 * (repeated, or separated by commas) builds one module and the TypeScript.
 */

import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, ROOT, run, say, setUpBuild, setUpRustSource, WASM_TARGET } from "./setup.mjs";
import { checkSize } from "./sizes.mjs";

const GLUE = join(ROOT, "workers", "wasm");
/** What the modules in `GLUE` were made from. */
const STAMP = join(GLUE, ".stamp");
/** Features of the core: for the CPU alone, the same for engines with relaxed SIMD, that with threads, and for WebGPU. */
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
/** The modules: the cores that encode, those that train as well, and the library for tokenizers that are not CLIP's. */
export const MODULES = {
  ...Object.fromEntries([...coresWith("encode"), ...coresWith("train", "train")]),
  tokenizers: { crate: "tokenizers-wasm", features: [] },
};
/** File of a module. */
export const moduleFile = (name) => join(GLUE, `${name}_bg.wasm`);

/** One number for everything that the module is made from. */
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
 * What a release is built with besides the profile `dist`: Rust's own library without the texts of panics. A panic then says no
 * more than that it was one.
 */
const RELEASE_FLAGS = ["-Z", "unstable-options", "-C", "panic=immediate-abort"];

/** Symbols with which wasm-bindgen gives each thread its own variables. */
const THREAD_SYMBOLS = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base"];
const THREAD_FLAGS = ["--shared-memory", "--import-memory", "--max-memory=4294967296"]
  .concat(THREAD_SYMBOLS.map((symbol) => `--export=${symbol}`))
  .flatMap((link) => ["-C", `link-arg=${link}`]);

/** Compiles with Rust's own library from its source; the compiler in use takes the flags for it only so. */
function withOwnLibrary({ threads, release }) {
  setUpRustSource();
  // in place of those in .cargo/config.toml, which must be the same but for what is added
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
 * Writes what loads and stores add to an address into themselves, where engines have it for nothing. LLVM does so only while it
 * knows that the sum does not wrap, which it forgets in the loops that it rewrites: docs/decisions/0021.
 */
// no sum that wraps is an address in use: the first thousand are the far end of the stack
const FOLD_OFFSETS = ["--low-memory-unused", "--optimize-added-constants"];

/** Puts like functions side by side, where gzip finds them: 2.7 % of a module. */
const GROUP_FUNCTIONS = ["--duplicate-function-elimination", "--reorder-functions-by-name", "--reorder-locals"];

/** A module without the names of its functions. Not `strip` in the profile: it takes what wasm-bindgen reads of features, too. */
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

/** Builds a module and its glue: by wasm-pack, but for threads, for which it wants another library from rustup. */
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
    run("wasm-bindgen", [built, "--target", "web", "--out-dir", GLUE, "--out-name", name]);
  } else {
    const options = ["--mode", "no-install", "--profile", profile, "--target", "web", "--no-pack", "--out-dir", GLUE];
    run("wasm-pack", ["build", `crates/${crate}`, ...options, "--out-name", name, "--", ...cargo], { env, orElse });
  }
  const file = moduleFile(name);
  // on WebGPU the kernels are not in the module
  const hasKernels = crate === "clip-module" && !features.includes("webgpu");
  const passes = [...(hasKernels ? FOLD_OFFSETS : []), ...(release ? GROUP_FUNCTIONS : [])];
  if (passes.length > 0) run("npx", ["wasm-opt", "-g", ...passes, file, "-o", file]);
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

/** Puts the modules beside the compiled workers, which load them. */
export function copyModules() {
  const target = join(ROOT, "dist", "workers", "wasm");
  cpSync(GLUE, target, { recursive: true, filter: (path) => !/\.gitignore$|\.stamp$/.test(path) });
}

function buildTypeScript() {
  run("npx", ["tsc", "--build", "workers", "ts"], { orElse: "TypeScript found errors: they are above" });
  copyModules();
}

/** Builds some modules; the next whole build builds all of them again. */
export function buildOnly(names, { release = false } = {}) {
  for (const name of names) buildModule(name, MODULES[name], release);
  rmSync(STAMP, { force: true });
}

/** Brings everything up to date. */
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
