/**
 * Installs what a fresh machine lacks and says so; does nothing the second time. Imports only Node's own modules, because it runs
 * before node_modules exists.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fail, mustRun, ROOT, run, say, timed } from "./jobs.mjs";

/** Build output and tools, kept outside the clone: building Burn takes minutes. */
export const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "clipwright");
const TOOLS = join(CACHE, "tools");

process.env.CARGO_TARGET_DIR ??= join(CACHE, "target");
process.env.PATH = [join(TOOLS, "bin"), join(homedir(), ".cargo", "bin"), process.env.PATH].join(delimiter);

export const WASM_TARGET = "wasm32-unknown-unknown";
/** Required by Burn 0.22.1. */
const RUST_MINOR = 95;
const WASM_PACK = "0.15.1";
const CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Output of a command; undefined if it fails. */
export function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Path of a program, if it is installed. */
export const findProgram = (name) => output("sh", ["-c", `command -v ${name}`]);

const isRoot = () => process.getuid?.() === 0;

/** Installs Debian packages if this is Debian and we are root. */
export async function aptInstall(packages, orElse) {
  if (!isRoot() || output("apt-get", ["--version"]) === undefined) fail(orElse);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await timed(`installing ${packages.join(", ")}`, async () => {
    await mustRun("apt-get", ["update", "-qq"], { env, orElse });
    await mustRun("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], { env, orElse });
  });
}

/** Installs the npm packages of a folder, unless those of its lock file are installed. */
export async function npmInstall(folder) {
  const lock = createHash("sha256")
    .update(readFileSync(join(folder, "package-lock.json")))
    .digest("hex");
  const stamp = join(folder, "node_modules", ".clipwright-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  // `npm ci` refuses a lock file that lacks other platforms' optional binaries
  await timed("installing npm packages", () =>
    mustRun("npm", ["install", "--no-save", "--no-audit", "--no-fund"], {
      cwd: folder,
      orElse: "npm install failed: its message is above",
    }),
  );
  writeFileSync(stamp, lock);
}

let packages;
/** Installs the npm packages; once, however often it is asked for. */
export function setUpPackages() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node 20.19 or newer is needed, this is ${process.versions.node}`);
  packages ??= npmInstall(ROOT);
  return packages;
}

/** TypeDoc and the TypeScript that it can use: docs/decisions/0026. */
export function setUpReference() {
  return npmInstall(join(ROOT, "scripts", "reference"));
}

/** Version of the compiler; undefined if there is none. */
export const rustVersion = () => output("rustc", ["--version"]);

/**
 * Makes cargo compile this clone's crates: clones share the folder of its output, and it compares times alone, so that it would take
 * what another clone built from newer files.
 */
export function claimOutput(folder = process.env.CARGO_TARGET_DIR) {
  const owner = join(folder, ".clone");
  if (existsSync(owner) && readFileSync(owner, "utf8") === ROOT) return;
  const now = new Date();
  for (const crate of readdirSync(join(ROOT, "crates"))) {
    for (const file of ["src/lib.rs", "build.rs"].map((path) => join(ROOT, "crates", crate, path)))
      if (existsSync(file)) utimesSync(file, now, now);
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(owner, ROOT);
}

let rust;
/** Installs Rust and its Wasm target; once, however often it is asked for. */
export function setUpRust() {
  rust ??= installRust();
  return rust;
}

async function installRust() {
  if (output("rustup", ["--version"]) === undefined) {
    fail("Rust is needed: install rustup (https://rustup.rs), then run this again");
  }
  if (rustVersion() === undefined) {
    say("installing Rust");
    run("rustup", ["toolchain", "install", "stable", "--profile", "minimal"], {
      orElse: "run rustup toolchain install stable",
    });
    run("rustup", ["default", "stable"], { orElse: "run rustup default stable" });
  }
  const version = rustVersion()?.split(" ")[1] ?? "unknown";
  const [major, minor] = version.split(".").map(Number);
  if (major === 1 && minor < RUST_MINOR)
    fail(`Rust 1.${RUST_MINOR} or newer is needed, this is ${version}: run rustup update`);
  if (output("cc", ["--version"]) === undefined) {
    await aptInstall(["gcc", "libc6-dev"], "A C linker is needed: install gcc (Debian: apt-get install gcc libc6-dev)");
  }
  if (!output("rustup", ["target", "list", "--installed"])?.split("\n").includes(WASM_TARGET)) {
    say("adding the WebAssembly target to Rust");
    run("rustup", ["target", "add", WASM_TARGET], {
      orElse: `rustup target add ${WASM_TARGET} failed: run it by hand`,
    });
  }
  claimOutput();
}

/** Installs the source of Rust's own library, to build it for threads. */
export function setUpRustSource() {
  const components = output("rustup", ["component", "list", "--installed"])?.split("\n") ?? [];
  if (components.some((name) => name.startsWith("rust-src"))) return;
  say("adding the source of Rust's library");
  run("rustup", ["component", "add", "rust-src"], { orElse: "run rustup component add rust-src" });
}

/** Environment to compile tools: a folder of their own, so that cargo can build modules meanwhile. */
export const toolEnvironment = () => ({ ...process.env, CARGO_TARGET_DIR: join(CACHE, "tools-target") });

/** Builds a tool into a folder. */
async function buildTool(name, version, source, root = TOOLS) {
  mkdirSync(root, { recursive: true });
  const install = ["install", ...source, "--root", root, "--force"];
  await timed(`building ${name} ${version}, once`, () =>
    mustRun("cargo", install, {
      env: toolEnvironment(),
      orElse: `${name} could not be built: run cargo ${install.join(" ")}`,
    }),
  );
}

function wasmBindgenVersion() {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  return version ?? fail("Cargo.lock names no version of wasm-bindgen");
}

const BINDGEN = join(ROOT, "crates", "wasm-bindgen-command");

/** Hash of the sources of our wasm-bindgen: what it makes of a module depends on them. */
export function bindgenSources() {
  const sources = readdirSync(join(BINDGEN, "src")).map((file) => join("src", file));
  const hash = createHash("sha256").update(wasmBindgenVersion());
  for (const file of ["Cargo.toml", ...sources.sort()]) hash.update(file).update(readFileSync(join(BINDGEN, file)));
  return hash.digest("hex").slice(0, 16);
}

async function installBindgen() {
  const version = wasmBindgenVersion();
  // clones with other sources have another one
  const root = join(TOOLS, `wasm-bindgen-${bindgenSources()}`);
  process.env.PATH = [join(root, "bin"), process.env.PATH].join(delimiter);
  if (output(join(root, "bin", "wasm-bindgen"), ["--version"]) === `wasm-bindgen ${version}`) return;
  // cargo compares times, and may have compiled another clone's
  utimesSync(join(BINDGEN, "src", "main.rs"), new Date(), new Date());
  await buildTool("wasm-bindgen", version, ["--path", BINDGEN, "--locked", "--profile", "tool"], root);
}

let bindgen;
/** Installs wasm-bindgen, unless there is one of these sources, and puts it first on the path; once, however often it is asked for. */
export function setUpBindgen() {
  bindgen ??= installBindgen();
  return bindgen;
}

/** Installs wasm-pack, which builds what is published. */
export async function setUpWasmPack() {
  if (output("wasm-pack", ["--version"])?.split(" ")[1] === WASM_PACK) return;
  // without --locked: its lock file names versions that were yanked
  await buildTool("wasm-pack", WASM_PACK, ["wasm-pack", "--version", WASM_PACK]);
}

/** Installs rustfmt and clippy, which a minimal toolchain lacks. */
export function setUpLints() {
  for (const [tool, component] of [
    ["fmt", "rustfmt"],
    ["clippy", "clippy"],
  ]) {
    if (output("cargo", [tool, "--version"]) !== undefined) continue;
    say(`adding ${component} to Rust`);
    run("rustup", ["component", "add", component], { orElse: `run rustup component add ${component}` });
  }
}

/** Path of a Chromium; installs Debian's if there is none. */
export async function setUpChromium() {
  const find = () => {
    const named = process.env.CHROMIUM_PATH;
    if (named) return existsSync(named) ? named : fail(`CHROMIUM_PATH is ${named}, where there is no file`);
    for (const name of CHROMIUMS) {
      const path = findProgram(name);
      if (path) return path;
    }
    return undefined;
  };
  const needed = "Chromium is needed: install it (Debian: apt-get install chromium) or set CHROMIUM_PATH";
  const found = find();
  if (found) return found;
  await aptInstall(["chromium"], needed);
  return find() ?? fail(needed);
}

/** The linker's list of the system's libraries; empty where there is none. */
export const systemLibraries = () => output("sh", ["-c", "PATH=$PATH:/sbin:/usr/sbin ldconfig -p"]) ?? "";

/** Installs Vulkan's loader, by which Node's tests reach the software Vulkan that Chromium brings. */
export async function setUpVulkan() {
  if (process.platform !== "linux") return;
  if (systemLibraries().includes("libvulkan.so.1")) return;
  await aptInstall(
    ["libvulkan1"],
    "Vulkan's loader is needed: install libvulkan.so.1 (Debian: apt-get install libvulkan1)",
  );
}
