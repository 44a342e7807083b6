/**
 * Builds the Wasm modules and the TypeScript if their sources changed. `--release` makes the modules small; `--only encode-cpu`
 * (repeated, or separated by commas) builds these modules and the TypeScript.
 */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, run, since, timed } from "./jobs.mjs";
import { setUpPackages } from "./setup.mjs";
import { buildModules, MODULES, standIn, unbuilt } from "./wasm.mjs";

/** Checks the types and bundles dist/. Where a module is not built its types are not known, and nothing is checked. */
function buildTypeScript() {
  const checked = unbuilt().length === 0;
  if (checked) run("npx", ["tsc", "--build", "workers", "ts"], { orElse: "TypeScript found errors: they are above" });
  else standIn();
  // in processes of their own: the packages may just have been installed
  run(process.execPath, ["scripts/bundle.mjs"], { orElse: "dist/ could not be bundled: the message is above" });
  if (checked)
    run(process.execPath, ["scripts/types.mjs"], { orElse: "the types could not be rolled up: the message is above" });
}

/** Builds the Wasm modules of `only`, all by default, and then the TypeScript. A module whose sources did not change is not compiled. */
export async function build({ release = false, only = Object.keys(MODULES) } = {}) {
  // the packages are needed when the first module is compiled
  await Promise.all([setUpPackages(), buildModules(only, { release })]);
  await timed("building the TypeScript", buildTypeScript);
}

/** Checks the types of the tests and examples, which import the built package. */
export function checkTestTypes() {
  const orElse = "the types of the tests or examples are wrong: see above";
  return timed("types of tests and examples", () => run("npx", ["tsc", "--project", "examples"], { orElse }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const began = performance.now();
  await build(commandLine());
  console.log(`built dist/ in ${since(began)}`);
}

function commandLine() {
  const { values } = parseArgs({
    options: { release: { type: "boolean", default: false }, only: { type: "string", multiple: true, default: [] } },
  });
  const only = values.only.flatMap((names) => names.split(","));
  const unknown = only.find((name) => !(name in MODULES));
  if (unknown) fail(`unknown module ${unknown}: --only takes ${Object.keys(MODULES).join(", ")}`);
  return { release: values.release, ...(only.length > 0 && { only }) };
}
