/** A training state in the origin private file system. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

test("a state is written to a handle and read from it", async () => {
  const root = await navigator.storage.getDirectory();
  const handle = await root.getFileHandle("state.clip", { create: true });
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(colourPairs(4), { batchSize: 4, epochs: 2 })) break;
  await trainer.saveCheckpoint(handle);
  trainer.dispose();
  const resumed = await ClipTrainer.resume(handle, { device: "cpu" });
  const steps = [];
  for await (const { step } of resumed.resumeFit(colourPairs(4))) steps.push(step);
  expect(steps).toEqual([2]);
  await expect(resumed.saveCheckpoint("no/such/folder")).rejects.toMatchObject({ code: "target-unwritable" });
  resumed.dispose();
  await root.removeEntry("state.clip");
  await expect(ClipTrainer.resume(handle)).rejects.toMatchObject({ code: "source-unreadable" });
});
