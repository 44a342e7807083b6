/** The native program, for tests that run it: a folder of a test file's own, and its events. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll } from "vitest";
import { nativeProgram } from "../../scripts/native.mjs";

/** Is removed after the tests of the file. */
export const folder = mkdtempSync(join(tmpdir(), "clipwright-native-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let program = "";
beforeAll(async () => {
  program = await nativeProgram();
}, 3_600_000);

/** An event of `--json`. */
export interface NativeEvent {
  type: string;
  /** Of errors. */
  code: string;
}

/** Runs the program and returns its events; with `mayFail` those of a run that fails, too. */
export async function clipwright(args: readonly string[], { mayFail = false } = {}): Promise<NativeEvent[]> {
  const run = promisify(execFile)(program, ["--json", ...args]);
  const { stdout } = await (mayFail ? run.catch((error: { stdout: string }) => error) : run);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}
