/** A training state on disk. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClipTrainer } from "clipwright";
import { afterAll, expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

const folder = mkdtempSync(join(tmpdir(), "clipwright-state-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a state is written whole or not at all, and read back", async () => {
  const path = join(folder, "state.clip");
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(colourPairs(4), { batchSize: 4, epochs: 2 })) break;
  writeFileSync(path, "an older one");
  await trainer.saveCheckpoint(path);
  expect(new Uint8Array(readFileSync(path))).toEqual(await trainer.saveCheckpoint());
  await expect(trainer.saveCheckpoint(join(folder, "no", "such", "folder"))).rejects.toMatchObject({
    code: "target-unwritable",
  });
  // a folder in place of the file: the draft is written, and removed when it cannot replace it
  await expect(trainer.saveCheckpoint(folder)).rejects.toMatchObject({ code: "target-unwritable" });
  expect(readdirSync(folder)).toEqual(["state.clip"]);
  trainer.dispose();
  const resumed = await ClipTrainer.resume(path, { device: "cpu" });
  const steps = [];
  for await (const { step } of resumed.resumeFit(colourPairs(4))) steps.push(step);
  expect(steps).toEqual([2]);
  resumed.dispose();
  await expect(ClipTrainer.resume(join(folder, "none"))).rejects.toMatchObject({ code: "source-unreadable" });
});
