/** Builds the Wasm modules and the TypeScript, as far as they changed. `--release` shrinks the modules with wasm-opt. */

import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { fail, ROOT, run, say, setUpBuild, setUpRustSource, WASM_TARGET } from "./setup.mjs";

const GLUE = join(ROOT, "workers", "wasm");
/**
 * The modules: the core for the CPU alone, the same for engines with relaxed SIMD, that with threads, the core for WebGPU, and the
 * library for tokenizers that are not CLIP's.
 */
export const MODULES = {
  cpu: { crate: "clip-wasm", features: [] },
  "cpu-relaxed": { crate: "clip-wasm", features: ["relaxed-simd"] },
  "cpu-threads": { crate: "clip-wasm", features: ["relaxed-simd", "threads"] },
  webgpu: { crate: "clip-wasm", features: ["webgpu"] },
  tokenizers: { crate: "tokenizers-wasm", features: [] },
};
/** File of a module. */
export const moduleFile = (name) => join(GLUE, `${name}_bg.wasm`);

/** What Rust's Wasm target and our flags use, and no more: wasm-opt may not bring in what Node 20 cannot read. */
const WASM_FEATURES = [
  "simd",
  "bulk-memory",
  "bulk-memory-opt",
  "nontrapping-float-to-int",
  "sign-ext",
  "mutable-globals",
  "reference-types",
  "multivalue",
  "call-indirect-overlong",
];

/** One number for everything that the module is made from. */
function sourceHash(release) {
  const hash = createHash("sha256").update(String(release));
  const add = (path) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else hash.update(path.slice(ROOT.length)).update(readFileSync(path));
  };
  for (const path of ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "crates"]) add(join(ROOT, path));
  return hash.digest("hex");
}

function packModule(name, { crate, features }) {
  const options = [
    "--mode",
    "no-install",
    "--release",
    "--target",
    "web",
    "--no-pack",
    "--out-dir",
    GLUE,
    "--out-name",
    name,
  ];
  run("wasm-pack", ["build", `crates/${crate}`, ...options, "--", "--locked", `--features=${features}`], {
    orElse: `${name} could not be built: the compiler's message is above`,
  });
}

/** Symbols with which wasm-bindgen gives each thread its own variables. */
const THREAD_SYMBOLS = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base"];

/**
 * A module whose threads share memory, which Rust's own library must be built for: with the same compiler, which takes
 * `-Z build-std` only so. Not by wasm-pack, which wants that library from rustup.
 */
function buildThreadedModule(name, { crate, features }) {
  setUpRustSource();
  const links = [
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    ...THREAD_SYMBOLS.map((symbol) => `--export=${symbol}`),
  ];
  // in place of those in .cargo/config.toml, which must be the same but for the atomics
  const flags = [
    ["-C", "target-feature=+simd128,+atomics"],
    ["--cfg", 'getrandom_backend="wasm_js"'],
    ...links.map((link) => ["-C", `link-arg=${link}`]),
  ].flat();
  const targetDir = join(process.env.CARGO_TARGET_DIR, "threads");
  const options = ["--lib", "--release", "--locked", "--target", WASM_TARGET, "-Z", "build-std=panic_abort,std"];
  run("cargo", ["build", "-p", crate, `--features=${features}`, ...options, "--target-dir", targetDir], {
    env: { ...process.env, RUSTC_BOOTSTRAP: "1", CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f") },
    orElse: `${name} could not be built: the compiler's message is above`,
  });
  const built = join(targetDir, WASM_TARGET, "release", `${crate.replace("-", "_")}.wasm`);
  run("wasm-bindgen", [built, "--target", "web", "--out-dir", GLUE, "--out-name", name]);
}

function buildModule(name, release) {
  const module = MODULES[name];
  const path = moduleFile(name);
  const threads = module.features.includes("threads");
  if (threads) buildThreadedModule(name, module);
  else packModule(name, module);
  if (release) {
    say("shrinking it with wasm-opt (about 2 minutes)");
    const instructions = [
      ...WASM_FEATURES,
      ...(threads ? ["threads"] : []),
      ...(module.features.includes("relaxed-simd") ? ["relaxed-simd"] : []),
    ];
    run("npx", ["wasm-opt", "-O1", ...instructions.map((name) => `--enable-${name}`), "-o", path, path]);
  }
  const bytes = readFileSync(path);
  const mb = (n) => (n / 1e6).toFixed(2);
  console.log(`  ${name}: ${mb(bytes.length)} MB, ${mb(gzipSync(bytes, { level: 9 }).length)} MB gzip`);
}

function buildWasm(release) {
  const stamp = join(GLUE, ".stamp");
  const hash = sourceHash(release);
  const there = Object.keys(MODULES).every((name) => existsSync(moduleFile(name)));
  if (there && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  say("building the Wasm modules (some 15 minutes the first time, three after a change in clip-core)");
  for (const name of Object.keys(MODULES)) buildModule(name, release);
  writeFileSync(stamp, hash);
}

function buildTypeScript() {
  run("npx", ["tsc", "--build", "workers", "ts"], { orElse: "TypeScript found errors: they are above" });
  const target = join(ROOT, "dist", "workers", "wasm");
  cpSync(GLUE, target, { recursive: true, filter: (path) => !/\.gitignore$|\.stamp$/.test(path) });
}

/** Brings everything up to date. */
export function build({ release = false } = {}) {
  setUpBuild();
  buildWasm(release);
  buildTypeScript();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const unknown = process.argv.slice(2).filter((argument) => argument !== "--release");
  if (unknown.length > 0) fail(`unknown option ${unknown[0]}: build takes --release only`);
  build({ release: process.argv.includes("--release") });
  say("built dist/");
}
