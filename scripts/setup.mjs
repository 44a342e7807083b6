/**
 * Installs what a fresh machine lacks and says so; does nothing the second time. Imports only Node's own modules, because it runs
 * before node_modules exists.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

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

/** Ends the program with a line that says what is wrong and what to do. */
export function fail(message) {
  console.error(`\n✗ ${message}`);
  process.exit(1);
}

export function say(message) {
  console.log(`\x1b[1m› ${message}\x1b[0m`);
}

/** Runs a command and shows its output; ends the program with `orElse` if it fails. */
export function run(command, args, { orElse, ...options } = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", ...options });
  if (error || status !== 0) fail(orElse ?? `${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

/** Output of a command; undefined if it fails. */
function output(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Path of a program, if it is installed. */
export const findProgram = (name) => output("sh", ["-c", `command -v ${name}`]);

const isRoot = () => process.getuid?.() === 0;

/** Installs Debian packages if this is Debian and we are root. */
export function aptInstall(packages, orElse) {
  if (!isRoot() || output("apt-get", ["--version"]) === undefined) fail(orElse);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-qq"], { env, orElse });
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], { env, orElse });
}

/** Installs the npm packages of a folder, unless those of its lock file are installed. */
function npmInstall(folder) {
  const lock = createHash("sha256")
    .update(readFileSync(join(folder, "package-lock.json")))
    .digest("hex");
  const stamp = join(folder, "node_modules", ".clipwright-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  say("installing npm packages");
  // `npm ci` refuses a lock file that lacks other platforms' optional binaries
  run("npm", ["install", "--no-save", "--no-audit", "--no-fund"], {
    cwd: folder,
    orElse: "npm install failed: its message is above",
  });
  writeFileSync(stamp, lock);
}

function npmPackages() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node 20.19 or newer is needed, this is ${process.versions.node}`);
  npmInstall(ROOT);
}

/** TypeDoc and the TypeScript that it can use: docs/decisions/0026. */
export function setUpReference() {
  npmInstall(join(ROOT, "scripts", "reference"));
}

function rust() {
  if (output("rustup", ["--version"]) === undefined) {
    fail("Rust is needed: install rustup (https://rustup.rs), then run this again");
  }
  if (output("rustc", ["--version"]) === undefined) {
    say("installing Rust");
    run("rustup", ["toolchain", "install", "stable", "--profile", "minimal"], {
      orElse: "run rustup toolchain install stable",
    });
    run("rustup", ["default", "stable"], { orElse: "run rustup default stable" });
  }
  const version = output("rustc", ["--version"])?.split(" ")[1] ?? "unknown";
  const [major, minor] = version.split(".").map(Number);
  if (major === 1 && minor < RUST_MINOR)
    fail(`Rust 1.${RUST_MINOR} or newer is needed, this is ${version}: run rustup update`);
  if (output("cc", ["--version"]) === undefined) {
    say("installing a C linker, which Rust needs");
    aptInstall(["gcc", "libc6-dev"], "A C linker is needed: install gcc (Debian: apt-get install gcc libc6-dev)");
  }
  if (!output("rustup", ["target", "list", "--installed"])?.split("\n").includes(WASM_TARGET)) {
    say("adding the WebAssembly target to Rust");
    run("rustup", ["target", "add", WASM_TARGET], {
      orElse: `rustup target add ${WASM_TARGET} failed: run it by hand`,
    });
  }
}

/** Installs the source of Rust's own library, to build it for threads. */
export function setUpRustSource() {
  const components = output("rustup", ["component", "list", "--installed"])?.split("\n") ?? [];
  if (components.some((name) => name.startsWith("rust-src"))) return;
  say("adding the source of Rust's library");
  run("rustup", ["component", "add", "rust-src"], { orElse: "run rustup component add rust-src" });
}

function cargoTool(name, crate, version) {
  if (output(name, ["--version"])?.split(" ")[1] === version) return;
  say(`building ${name} ${version} (about 3 minutes, once)`);
  mkdirSync(TOOLS, { recursive: true });
  // without --locked: the crates' lock files name versions that were yanked
  run("cargo", ["install", crate, "--version", version, "--root", TOOLS, "--force"], {
    env: { ...process.env, CARGO_TARGET_DIR: join(CACHE, "tools-target") },
    orElse: `${name} could not be built: run cargo install ${crate} --version ${version}`,
  });
}

function wasmBindgenVersion() {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  return version ?? fail("Cargo.lock names no version of wasm-bindgen");
}

/** Installs npm packages, Rust's Wasm target, wasm-bindgen and wasm-pack. */
export function setUpBuild() {
  npmPackages();
  rust();
  // must have the version of the crate
  cargoTool("wasm-bindgen", "wasm-bindgen-cli", wasmBindgenVersion());
  cargoTool("wasm-pack", "wasm-pack", WASM_PACK);
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
export function setUpChromium() {
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
  say("installing Chromium");
  aptInstall(["chromium"], needed);
  return find() ?? fail(needed);
}
