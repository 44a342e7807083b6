/**
 * `npm run check`: formatting, lints, layers, sizes and the reference, cheapest first. CI runs it, then `npm test`.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, MODULES, moduleFile } from "./build.mjs";
import { checkReference } from "./reference.mjs";
import { fail, ROOT, run, say, setUpLints, WASM_TARGET } from "./setup.mjs";
import { checkSize } from "./sizes.mjs";

/** Most lines of a file; tables may have more. */
const LINE_LIMITS = [
  { files: /^crates\/.*\.rs$/, lines: 500 },
  { files: /^(ts|workers|scripts|test)\/.*\.(ts|mjs)$/, lines: 480 },
];
const TABLES = new Set(["crates/clip-core/src/tokenizer/ftfy_tables.rs"]);

/** Direct dependencies that a crate may not have: the layers of ARCHITECTURE.md. */
const NOT_THE_WEBS = ["wasm-bindgen", "wasm-bindgen-futures", "js-sys", "web-sys", "clap", "tokio"];
const FORBIDDEN = {
  "clip-kernels": [...NOT_THE_WEBS, "serde", "safetensors"],
  "clip-core": NOT_THE_WEBS,
  "clip-wasm": ["burn", "tokenizers"],
  "clip-module": ["burn", "clip-core", "tokenizers"],
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

build();
setUpLints();
say("formatting");
run("cargo", ["fmt", "--all", "--check"], { orElse: "run cargo fmt" });
run("npx", ["biome", "ci", "."], { orElse: "run npx biome check --write" });
say("unused files, exports and dependencies");
run("npx", ["knip"], { orElse: "delete what nothing uses, or tell knip.json of a new entry" });
say("layers and sizes");
checkLayers();
checkSizes();
say("clippy, native and Wasm");
run("cargo", [
  "clippy",
  "--locked",
  "--package",
  "clip-kernels",
  "--package",
  "clip-core",
  "--features=clip-core/threads",
  "--all-targets",
  "--",
  "-D",
  "warnings",
]);
const crates = new Set(Object.values(MODULES).map(({ crate }) => crate));
for (const [crate, ...features] of [...[...crates].map((crate) => [crate, "--all-features"]), ["clip-module"]]) {
  const options = ["--package", crate, ...features, "--release", "--target", WASM_TARGET];
  run("cargo", ["clippy", "--locked", ...options, "--", "-D", "warnings"]);
}
say("types of tests and examples");
run("npx", ["tsc", "--project", "examples"]);
say("reference: undocumented exports, broken links");
checkReference();
say("all checks passed");
