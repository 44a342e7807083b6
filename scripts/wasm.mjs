/**
 * Builds the Wasm modules, each once: a module is kept in the cache folder with the hashes of the sources that the compiler read for
 * it, and is taken from there while these are the same, by other clones, too: docs/decisions/0032.
 */

import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { conflictOf, standInFor } from "./glue.mjs";
import { fail, mustRun, ROOT, runAside, say, timed } from "./jobs.mjs";
import {
  bindgenSources,
  CACHE,
  rustVersion,
  setUpBindgen,
  setUpPackages,
  setUpRust,
  setUpRustSource,
  setUpWasmPack,
  WASM_TARGET,
} from "./setup.mjs";
import { checkSize } from "./sizes.mjs";

export const GLUE = join(ROOT, "workers", "wasm");
const KEPT = join(CACHE, "modules");
/** Most builds of a module that are kept. */
const KEPT_BUILDS = 4;

/** Features of each core: CPU, CPU with relaxed SIMD, CPU with threads and either SIMD, WebGPU. */
const CORES = {
  cpu: [],
  "cpu-relaxed": ["relaxed-simd"],
  "cpu-threads": ["relaxed-simd", "threads"],
  "cpu-threads-plain": ["threads"],
  webgpu: ["webgpu"],
};
const coresWith = (work, ...more) =>
  Object.entries(CORES).map(([name, features]) => [
    `${work}-${name}`,
    { crate: "clip-module", features: [...features, ...more] },
  ]);
/** The modules: cores that encode, cores that also train, Hugging Face's tokenizers, and the index. */
export const MODULES = {
  ...Object.fromEntries([...coresWith("encode"), ...coresWith("train", "train")]),
  tokenizers: { crate: "tokenizers-wasm", features: [] },
  index: { crate: "index-wasm", features: [] },
};

/** Modules whose glue is joined: those of a worker that encodes, of one that trains, and of a thread. */
const JOINED = [
  (name) => name.startsWith("encode-") || name === "tokenizers",
  (name) => name.startsWith("train-") || name === "tokenizers",
  (name) => name.includes("-threads"),
].map((has) => Object.keys(MODULES).filter(has));

/** Path of a module. */
export const moduleFile = (name) => join(GLUE, `${name}_bg.wasm`);

/**
 * Flags of a release, besides the profile `dist`: they strip panic messages from Rust's own library.
 */
const RELEASE_FLAGS = ["-Z", "unstable-options", "-C", "panic=immediate-abort"];

/** What Wasm has otherwise than the native program's release: it aborts on a panic, as its target does, and so does Rust's own library. */
export const WASM_PROFILE = { CARGO_PROFILE_RELEASE_PANIC: "abort" };

/** Symbols that wasm-bindgen needs for thread-local variables. */
const THREAD_SYMBOLS = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base"];
const THREAD_FLAGS = ["--shared-memory", "--import-memory", "--max-memory=4294967296"]
  .concat(THREAD_SYMBOLS.map((symbol) => `--export=${symbol}`))
  .flatMap((link) => ["-C", `link-arg=${link}`]);

/**
 * Folds additions to an address into the offset of its load or store, which costs engines nothing. LLVM does not where it has lost
 * the proof that the sum does not wrap: docs/decisions/0021. The pass may assume it, because the first 1,024 bytes are unused: they
 * are the far end of the stack.
 */
const FOLD_OFFSETS = ["--low-memory-unused", "--optimize-added-constants"];

/** Sorts similar functions next to each other, where gzip finds them: 2.7 % of a released CPU module. */
const GROUP_FUNCTIONS = ["--duplicate-function-elimination", "--reorder-functions-by-name", "--reorder-locals"];

/** Flags and options to compile Rust's own library from source, so that the flags apply to it, too. */
function withOwnLibrary({ threads, release }) {
  // replaces the flags in .cargo/config.toml, so repeats them
  const flags = [
    ["-C", `target-feature=+simd128${threads ? ",+atomics" : ""}`, "--cfg", 'getrandom_backend="wasm_js"'],
    threads ? THREAD_FLAGS : [],
    release ? RELEASE_FLAGS : [],
  ].flat();
  return {
    options: ["-Z", "build-std=panic_abort,std"],
    env: { RUSTC_BOOTSTRAP: "1", CARGO_ENCODED_RUSTFLAGS: flags.join("\x1f") },
  };
}

/** All that decides how a module is built, besides its sources. */
function recipeFor(name, release) {
  const { crate, features: own } = MODULES[name];
  // tests compare the kernels with their references: published modules do without the code
  const features = [...own, ...(own.includes("train") && !release ? ["conformance"] : [])];
  const threads = features.includes("threads");
  const library = threads || release ? withOwnLibrary({ threads, release }) : { options: [], env: {} };
  // the modules for WebGPU have no SIMD kernels to optimise
  const hasKernels = ["clip-module", "index-wasm"].includes(crate) && !features.includes("webgpu");
  const passes = [...(hasKernels ? FOLD_OFFSETS : []), ...(hasKernels || release ? GROUP_FUNCTIONS : [])];
  return {
    crate,
    profile: release ? "dist" : "release",
    cargo: ["--locked", `--features=${features}`, ...library.options],
    env: { ...library.env, ...WASM_PROFILE },
    folders: [...(release ? ["dist"] : []), ...(threads ? ["threads"] : [])],
    bindgen: ["--target", "web", "--omit-default-module-path"],
    bindgenSources: bindgenSources(),
    passes,
    names: !release,
    // wasm-pack insists on rustup's library, which has no atomics
    wasmPack: release && !threads,
    rust: rustVersion(),
    binaryen: packageVersion("binaryen"),
  };
}

function packageVersion(name) {
  return JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages[`node_modules/${name}`].version;
}

const hashes = new Map();

/** Hash of a file of this clone; undefined if there is none. */
function hashOf(file) {
  if (!hashes.has(file)) {
    const path = join(ROOT, file);
    hashes.set(file, existsSync(path) ? createHash("sha256").update(readFileSync(path)).digest("hex") : undefined);
  }
  return hashes.get(file);
}

/**
 * The sources that the compiler read, from the list that cargo leaves beside a module, and the manifests; with their hashes. A file
 * that changed since `began` has none: nobody knows which text was compiled.
 */
function sourcesOf(depInfo, began) {
  const paths = readFileSync(depInfo, "utf8").split("\n")[0].replaceAll("\\ ", "\0").split(" ").slice(1);
  const sources = paths
    .map((path) => relative(ROOT, path.replaceAll("\0", " ")))
    // build.rs makes the others
    .filter((file) => !file.startsWith("..") && !isAbsolute(file));
  const crates = new Set(sources.map((file) => /^crates\/[^/]+/.exec(file)?.[0]).filter(Boolean));
  const manifests = [
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    ...[...crates].map((dir) => `${dir}/Cargo.toml`),
  ];
  const unchanged = (file) => statSync(join(ROOT, file)).mtimeMs <= began;
  return Object.fromEntries(
    [...manifests, ...sources.sort()].map((file) => [file, unchanged(file) ? hashOf(file) : null]),
  );
}

/** Name of the file that says from what a module was built. */
const STAMP = "built-from.json";
const stampFile = (name) => join(GLUE, `.${name}.json`);

/** Whether what a stamp tells is how the module would be built now. */
function isCurrent(stamp, recipe) {
  if (!existsSync(stamp)) return false;
  const built = JSON.parse(readFileSync(stamp, "utf8"));
  return (
    JSON.stringify(built.recipe) === JSON.stringify(recipe) &&
    Object.entries(built.sources).every(([file, hash]) => hashOf(file) === hash)
  );
}

const files = (name) => [`${name}.js`, `${name}.d.ts`, `${name}_bg.wasm`, `${name}_bg.wasm.d.ts`];
const isThere = (name) => files(name).every((file) => existsSync(join(GLUE, file)));

/** Copies a kept module to where the TypeScript finds it. */
function take(name, folder) {
  mkdirSync(GLUE, { recursive: true });
  rmSync(stampFile(name), { force: true });
  for (const file of files(name)) cpSync(join(folder, file), join(GLUE, file));
  cpSync(join(folder, STAMP), stampFile(name));
  utimesSync(folder, new Date(), new Date());
}

/** Folders of the kept builds of a module, the last used first. */
function keptBuilds(name) {
  const folder = join(KEPT, name);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((build) => join(folder, build))
    .filter((build) => existsSync(join(build, STAMP)))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
}

/** Keeps a finished build, and drops those used longest ago. */
function keep(name, built) {
  const id = createHash("sha256")
    .update(readFileSync(join(built, STAMP)))
    .digest("hex")
    .slice(0, 16);
  const folder = join(KEPT, name, id);
  rmSync(folder, { recursive: true, force: true });
  renameSync(built, folder);
  for (const old of keptBuilds(name).slice(KEPT_BUILDS)) rmSync(old, { recursive: true, force: true });
  return folder;
}

/**
 * Makes the sources newer than anything that cargo built. Returns when, and `undo`: the Rust tests, which are compiled meanwhile,
 * would be compiled again the next time.
 */
function touchCrates() {
  const now = new Date();
  const touched = readdirSync(join(ROOT, "crates"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ file, before: statSync(file) }));
  for (const { file } of touched) utimesSync(file, now, now);
  const isTouched = (file) => Math.round(statSync(file, { throwIfNoEntry: false })?.mtimeMs) === now.getTime();
  const undo = () => {
    // not where it was edited or removed meanwhile
    for (const { file, before } of touched) if (isTouched(file)) utimesSync(file, before.atime, before.mtime);
  };
  return { at: now.getTime(), undo };
}

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

/** How cargo's names of this clone's crates begin: Rust's own library, where it is compiled too, lies elsewhere. */
const OWN_CRATES = `path+${pathToFileURL(join(ROOT, "crates"))}`;

/**
 * Runs cargo until it has compiled this clone's crates, and returns since when it read them. Clones share the folder of its output,
 * and it compares times alone, so that it takes what another clone built from newer files.
 */
async function cargoBuild(args, options) {
  const json = ["--message-format=json-render-diagnostics"];
  for (let tries = 0; tries < 3; tries++) {
    const { at, undo } = touchCrates();
    const build = await runAside("cargo", ["build", ...args, ...json], {
      ...options,
      stdio: ["ignore", "pipe", "inherit"],
    });
    undo();
    if (build.status !== 0) fail(options.orElse);
    const messages = build.output.split("\n").filter((line) => line.startsWith("{"));
    const artifacts = messages.map((line) => JSON.parse(line)).filter(({ reason }) => reason === "compiler-artifact");
    if (!artifacts.some(({ package_id, fresh }) => fresh && package_id.startsWith(OWN_CRATES))) return at;
    say("another clone built this module at the same time: once more");
  }
  return fail(`other clones keep building in ${options.env.CARGO_TARGET_DIR}: run this again when they have finished`);
}

/** Compiles a module into a folder, and returns its sources. Published ones are built by wasm-pack, as far as it can. */
async function compile(name, { crate, profile, cargo, env: flags, folders, wasmPack }, folder) {
  const targetDir = join(process.env.CARGO_TARGET_DIR, ...folders);
  const options = {
    env: { ...process.env, ...flags, CARGO_TARGET_DIR: targetDir },
    orElse: `${name} could not be built: the compiler's message is above`,
  };
  if (cargo.includes("-Z")) setUpRustSource();
  const began = await cargoBuild(
    ["-p", crate, "--lib", "--profile", profile, "--target", WASM_TARGET, ...cargo],
    options,
  );
  const built = join(targetDir, WASM_TARGET, profile, crate.replaceAll("-", "_"));
  if (wasmPack) {
    // its cargo finds all compiled
    await Promise.all([setUpWasmPack(), setUpBindgen()]);
    const pack = ["--mode", "no-install", "--profile", profile, "--target", "web", "--no-pack", "--out-dir", folder];
    await mustRun("wasm-pack", ["build", `crates/${crate}`, ...pack, "--out-name", name, "--", ...cargo], options);
  }
  // the next module takes its place
  else cpSync(`${built}.wasm`, join(folder, `${name}.wasm`));
  return sourcesOf(`${built}.d`, began);
}

/** Makes the glue of a compiled module, and optimises it. */
async function finish(name, { bindgen, passes, names, wasmPack }, folder) {
  const module = join(folder, `${name}_bg.wasm`);
  if (!wasmPack) {
    await setUpBindgen();
    await mustRun("wasm-bindgen", [join(folder, `${name}.wasm`), ...bindgen, "--out-dir", folder, "--out-name", name]);
    rmSync(join(folder, `${name}.wasm`));
  }
  await setUpPackages();
  if (passes.length > 0) await mustRun("npx", ["wasm-opt", "-g", ...passes, module, "-o", module]);
  if (!names) writeFileSync(module, withoutNames(readFileSync(module)));
}

/** Builds modules, unless they are there or kept. One is compiled while the one before is finished. */
export async function buildModules(names, { release = false } = {}) {
  await setUpRust();
  const stale = names
    .map((name) => ({ name, recipe: recipeFor(name, release) }))
    .filter(({ name, recipe }) => !(isThere(name) && isCurrent(stampFile(name), recipe)));
  const missing = stale.filter(({ name, recipe }) => {
    const kept = keptBuilds(name).find((folder) => isCurrent(join(folder, STAMP), recipe));
    if (kept) take(name, kept);
    return !kept;
  });
  const taken = stale.length - missing.length;
  if (taken > 0) say(`took ${taken} Wasm modules from ${KEPT}: built from the same sources`);
  // the tool is compiled beside the first module
  if (missing.length > 0) setUpBindgen();
  const finishing = [];
  for (const [index, { name, recipe }] of missing.entries()) {
    mkdirSync(join(KEPT, name), { recursive: true });
    const folder = mkdtempSync(join(KEPT, name, "building-"));
    const sources = await timed(`compiling the Wasm module ${name}, ${index + 1} of ${missing.length}`, () =>
      compile(name, recipe, folder),
    );
    const finished = async () => {
      await finish(name, recipe, folder);
      writeFileSync(join(folder, STAMP), JSON.stringify({ recipe, sources }));
      take(name, keep(name, folder));
      if (release) checkSize(name, moduleFile(name), true);
    };
    finishing.push(finished());
  }
  // where all was kept, they may not be installed yet
  await Promise.all([setUpPackages(), ...finishing]);
  await checkGlue(names);
}

const glueFile = (name) => join(GLUE, `${name}.js`);

/** Fails if modules whose glue is joined do not agree. Removes those that were built before, from other sources. */
async function checkGlue(names) {
  for (const modules of JOINED) {
    for (;;) {
      const there = modules.filter(isThere);
      const conflict = await conflictOf(
        Object.fromEntries(there.map((name) => [name, readFileSync(glueFile(name), "utf8")])),
      );
      if (!conflict) break;
      const older = conflict.modules.filter((module) => !names.includes(module));
      if (older.length === 0) fail(conflict.message);
      for (const file of older.flatMap(files)) rmSync(join(GLUE, file));
    }
  }
}

/** Names of the modules that are not built. */
export const unbuilt = () => Object.keys(MODULES).filter((name) => !isThere(name));

/** Stands in for the glue of modules that are not built, so that the rest can be: it says so if it is used. */
export function standIn() {
  for (const name of unbuilt()) writeFileSync(glueFile(name), standInFor(name));
}
