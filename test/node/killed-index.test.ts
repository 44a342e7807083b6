/** Processes killed while they add to an index: what was acknowledged is there, and every add is there whole or not at all. */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VectorIndex } from "clipwright/search";
import { afterAll, expect, test } from "vitest";
import { checkKilledIndex } from "../check-killed-index";

/** More in a run of its own: `KILLS=100 npx vitest run --project node killed-index`. */
const KILLS = Number(process.env.KILLS ?? 6);

const folder = mkdtempSync(join(tmpdir(), "clipwright-killed-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the program, and kills it some time after an add was acknowledged; returns the numbers of those. */
async function killedAfter(path: string, from: number, milliseconds: number): Promise<number[]> {
  const script = fileURLToPath(new URL("killed-index.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, path, String(from)], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    if (printed === "") setTimeout(() => child.kill("SIGKILL"), milliseconds);
    printed += text;
  });
  const signal = await new Promise((resolve) => child.once("close", (_, signal) => resolve(signal)));
  expect(signal).toBe("SIGKILL");
  return printed.split("\n").slice(0, -1).map(Number);
}

test(
  `${KILLS} kills lose nothing that was acknowledged`,
  async () => {
    const path = join(folder, "killed.sqlite");
    const acknowledged: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const from = (acknowledged.at(-1) ?? -1) + 2;
      acknowledged.push(...(await killedAfter(path, from, (kill * 7.3) % 40)));
      const index = await VectorIndex.open({ path });
      await checkKilledIndex(index, acknowledged, kill);
      await index.close();
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS);
  },
  60_000 + KILLS * 10_000,
);
