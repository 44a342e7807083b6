/**
 * `npm run check`: formatting, lints, layers, sizes and the reference, cheapest first. `ci.mjs` runs its two halves around the tests.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, checkTestTypes } from "./build.mjs";
import { fail, mustRun, ROOT, run, say, since, timed } from "./jobs.mjs";
import { NATIVE_CRATES } from "./native.mjs";
import { checkRustdoc, checkTypeDoc } from "./reference.mjs";
import { setUpLints, toolEnvironment, WASM_TARGET } from "./setup.mjs";
import { checkFiles, checkSize, withPackage } from "./sizes.mjs";
import { MODULES, moduleFile, WASM_PROFILE } from "./wasm.mjs";

/** Prefix of cargo's lines, which may come beside those of the tests. */
const LANE = "rust     |";

/** Most lines of a file; tables may have more. */
const LINE_LIMITS = [
  { files: /^crates\/.*\.rs$/, lines: 500 },
  { files: /^(ts|workers|scripts|test)\/.*\.(ts|mjs)$/, lines: 480 },
];
const TABLES = new Set(["crates/clip-core/src/tokenizer/ftfy_tables.rs"]);

/** Direct dependencies that a crate may not have: the layers of ARCHITECTURE.md. */
const NOT_THE_WEBS = ["wasm-bindgen", "wasm-bindgen-futures", "js-sys", "web-sys", "clap", "tokio"];
const FORBIDDEN = {
  // Burn's operations are the core's
  "clip-cli": ["burn", "clipwright-kernels", "tokenizers", "wasm-bindgen", "tokio"],
  "clipwright-kernels": [...NOT_THE_WEBS, "serde", "safetensors"],
  // stays small, also for those who use it as a crate
  "clipwright-core": [...NOT_THE_WEBS, "tokenizers", "clip-tokenizers"],
  "clip-tokenizers": [...NOT_THE_WEBS, "burn", "clipwright-core"],
  "clip-index": [...NOT_THE_WEBS, "burn", "clipwright-core", "clipwright-kernels"],
  "clip-wasm": ["burn", "tokenizers", "clip-tokenizers"],
  "clip-module": ["burn", "clipwright-core", "tokenizers", "clip-tokenizers"],
  "tokenizers-wasm": ["burn", "clipwright-core", "tokenizers"],
  "index-wasm": ["burn", "clipwright-core", "clipwright-kernels"],
};

function checkLayers() {
  const metadata = JSON.parse(
    execFileSync("cargo", ["metadata", "--locked", "--no-deps", "--format-version", "1"], {
      cwd: ROOT,
      encoding: "utf8",
    }),
  );
  for (const { name, dependencies } of metadata.packages) {
    for (const dependency of dependencies) {
      if (dependency.kind === null && FORBIDDEN[name]?.includes(dependency.name)) {
        fail(`${name} depends on ${dependency.name}: ARCHITECTURE.md says why it may not`);
      }
    }
  }
}

function checkSizes() {
  const files = execFileSync("git", ["ls-files"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
  const counted = files
    .flatMap((file) => {
      const limit = LINE_LIMITS.find((row) => row.files.test(file));
      if (!limit || TABLES.has(file) || !existsSync(join(ROOT, file))) return [];
      return [{ file, lines: readFileSync(join(ROOT, file), "utf8").split("\n").length, limit: limit.lines }];
    })
    .sort((a, b) => b.lines - a.lines);
  console.log(
    `  largest files: ${counted
      .slice(0, 5)
      .map(({ file, lines }) => `${file} ${lines}`)
      .join(", ")}`,
  );
  const over = counted.find(({ lines, limit }) => lines > limit);
  if (over) fail(`${over.file} has ${over.lines} lines, over ${over.limit}: split it`);
  for (const name of Object.keys(MODULES)) checkSize(name, moduleFile(name), false);
}

/** Clippy with warnings as errors. */
export function clippy(options, env = process.env) {
  return mustRun("cargo", ["clippy", "--locked", ...options, "--", "-D", "warnings"], { prefix: LANE, env });
}

/** The checks that take seconds. Needs the built package. */
export async function checkQuickly() {
  setUpLints();
  await timed("formatting and lints of TypeScript", async () => {
    run("cargo", ["fmt", "--all", "--check"], { orElse: "run cargo fmt" });
    run("npx", ["biome", "ci", "."], { orElse: "run npx biome check --write" });
  });
  await timed("unused files, exports and dependencies", async () =>
    run("npx", ["knip"], { orElse: "delete what nothing uses, or tell knip.json of a new entry" }),
  );
  await timed("layers and sizes", async () => {
    checkLayers();
    checkSizes();
  });
  await timed("the package: sizes, exports and types", async () => {
    checkFiles();
    withPackage((tarball) => {
      run("npx", ["publint", "run", tarball, "--strict"], { orElse: "package.json names what users cannot load" });
      // `workers/`, `wasm/` and `assets/` are files, which have no types
      run("npx", ["attw", tarball, "--entrypoints", ".", "./encode", "./search"], {
        orElse: "compilers and Node resolve the package differently",
      });
    });
  });
  await checkTestTypes();
  await timed("reference of the TypeScript: undocumented exports, broken links", checkTypeDoc);
}

/** The checks by cargo. */
export async function checkRust() {
  await timed("clippy, native", async () => {
    await clippy([...NATIVE_CRATES, "--all-targets"]);
    await clippy(["--package", "svg-shards", "--all-targets"]);
    await clippy(["--package", "wasm-bindgen-command", "--profile", "tool", "--all-targets"], toolEnvironment());
  });
  const crates = new Set(Object.values(MODULES).map(({ crate }) => crate));
  await timed("clippy, Wasm", async () => {
    for (const options of [...[...crates].map((crate) => [crate, "--all-features"]), ["clip-module"]])
      await clippy(["--package", ...options, "--release", "--target", WASM_TARGET], {
        ...process.env,
        ...WASM_PROFILE,
      });
  });
  await timed("reference of the crates", () => checkRustdoc(LANE));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const began = performance.now();
  await build();
  await checkQuickly();
  await checkRust();
  say(`all checks passed in ${since(began)}`);
}
