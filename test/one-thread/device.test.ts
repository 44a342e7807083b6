/** A page that is not cross-origin isolated, as most are not. */

import { ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { tinyConfig } from "../support";

test("computes on one thread, and info tells so", async () => {
  expect(crossOriginIsolated).toBe(false);
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  expect(trainer.info.device).toEqual({ kind: "cpu", reason: "as requested", threads: 1 });
  trainer.dispose();
});
