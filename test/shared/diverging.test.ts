/** Runs that would make their weights non-finite. */

import { ClipTrainer, type FitOptions, isClipError } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, sameBytes, tinyConfig } from "../support";

const cases: [string, FitOptions, RegExp][] = [
  ["a learning rate", { lr: 1e30 }, /at step 1,/],
  ["a learning rate after a warm-up", { lr: 1e30, warmup: 1000 }, /at step 1,/],
  ["a learning rate in micro-batches", { lr: 3e38, microBatchSize: 2 }, /at step 1,/],
  ["a weight decay", { weightDecay: 1e38 }, /at step 1,/],
  ["Muon's rate", { muon: { lr: 1e30 } }, /at step 1,/],
  ["adapters", { lora: { rank: 2, alpha: 1e38 } }, /at step 1,/],
];

test.each(cases)(
  "%s that no weights bear ends the run at its step, and what was learned stays",
  async (_, bad, step) => {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
    const pairs = colourPairs(8);
    const run = async (options: FitOptions) => {
      for await (const event of trainer.fit(pairs, { batchSize: 4, epochs: 3, warmup: 0, ...options }))
        steps = event.step;
    };
    let steps = 0;
    await run({ lr: 1e-3 });
    const before = await trainer.exportSafetensors();
    steps = 0;
    const error = await run({ lr: 1e-3, ...bad, autosave: { every: 1 } }).catch((error) => error);
    if (!isClipError(error)) throw error ?? new Error("expected an error, got a whole run");
    expect(error.code).toBe("loss-not-finite");
    expect(error.message).toMatch(step);
    if (steps === 0) expect(sameBytes(await trainer.exportSafetensors(), before)).toBe(true);
    const { data } = await trainer.encodeText(pairs.map(({ text }) => text));
    expect(data.every(Number.isFinite)).toBe(true);
    // the saved state is intact as well, and both train on
    const again = await ClipTrainer.resume(await trainer.saveCheckpoint(), { device: "cpu" });
    expect(sameBytes(await again.exportSafetensors(), await trainer.exportSafetensors())).toBe(true);
    again.dispose();
    await run({ lr: 1e-3 });
    expect(steps).toBe(6);
    trainer.dispose();
  },
);
