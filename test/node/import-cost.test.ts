/** What importing the package costs a program in Node. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Milliseconds that a program with the import may take longer than one without. */
const MOST = 60;
const RUNS = 15;

/** Milliseconds that a program takes from its start to its end. */
function run(args: string[]): number {
  const began = performance.now();
  // the tests' own options to Node would be the child's, too
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", env: { PATH: "" } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return performance.now() - began;
}

test.each([
  ["import", "module", 'import "clipwright"'],
  ["require", "commonjs", 'require("clipwright")'],
])("%s takes little more than an empty module", (_, type, load) => {
  const program = (code: string) => [`--input-type=${type}`, "--eval", code];
  // other work on the machine only adds: the quickest of many runs, in turn
  const empty: number[] = [];
  const loaded: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    empty.push(run(program("")));
    loaded.push(run(program(load)));
  }
  expect(Math.min(...loaded) - Math.min(...empty)).toBeLessThanOrEqual(MOST);
});
