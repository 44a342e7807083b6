/** Processes killed while they add to an index: what was acknowledged is there, and every add is there whole or not at all. */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VectorIndex } from "clipwright/search";
import { afterAll, expect, test } from "vitest";
import { itemsOf } from "../killed-index.mjs";

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
      const found = new Map<number, number>();
      for await (const { id, metadata } of index.items()) {
        const add = metadata?.add as number;
        expect(id).toBe(`${add}.${metadata?.i}`);
        found.set(add, (found.get(add) ?? 0) + 1);
      }
      for (const add of acknowledged) expect(found.has(add), `add ${add} after kill ${kill}`).toBe(true);
      for (const [add, count] of found) expect(count).toBe(itemsOf(add).length);
      expect(await index.size()).toBe([...found.values()].reduce((sum, count) => sum + count, 0));
      // the last add has its vectors, too
      const last = itemsOf(acknowledged.at(-1) as number);
      const matches = await index.searchMany(
        last.map(({ vector }) => vector),
        { k: 1 },
      );
      for (const [i, [match]] of matches.entries()) {
        expect(match?.score).toBeCloseTo(1, 3);
        if (last[i]?.id !== match?.id) expect(match?.score).toBeGreaterThan(0.9999);
      }
      await index.close();
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS);
  },
  60_000 + KILLS * 10_000,
);
