/** A run that begins in the package goes on in the native program, and the other way round. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ClipTrainer, type FitEvent, type FitOptions, imageFolder, type PairSource, webDataset } from "clipwright";
import { expect, test } from "vitest";
import { toToml } from "../../scripts/native.mjs";
import { tinyConfig } from "../support";
import { clipwright, folder } from "./native-program";

const repository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const shard = repository("examples/data/emoji-heldout.tar");
const photos = repository("test/fixtures/cases/picture-extensions");

/** Trains natively; returns the steps. */
async function trainNatively(name: string, data: string, ...flags: string[]): Promise<FitEvent[]> {
  const logs = ["--logs", folder, "--name", name, "--device", "cpu"];
  const events = await clipwright(["train", "--train-data", data, ...logs, ...flags]);
  return events.filter(({ type }) => type === "step") as unknown as FitEvent[];
}

/** Takes steps, at most `most`. */
async function take(steps: AsyncIterable<FitEvent>, most = Number.POSITIVE_INFINITY): Promise<FitEvent[]> {
  const events: FitEvent[] = [];
  for await (const event of steps) {
    events.push(event);
    if (events.length === most) break;
  }
  return events;
}

/** The same steps in the same order; SIMD of another width sums in another order. */
function expectSame(got: FitEvent[], expected: FitEvent[]) {
  expect(got.map(({ step, epoch, batchSize, lr }) => ({ step, epoch, batchSize, lr }))).toEqual(
    expected.map(({ step, epoch, batchSize, lr }) => ({ step, epoch, batchSize, lr })),
  );
  for (const [i, { loss, logitScale }] of expected.entries()) {
    expect(Math.abs((got[i]?.loss ?? Number.NaN) - loss)).toBeLessThan(1e-4 * loss);
    expect(got[i]?.logitScale).toBeCloseTo(logitScale, 5);
  }
}

/** A run as the package and as the native program are told of it. */
interface Run {
  name: string;
  pairs: PairSource;
  data: string;
  fit: FitOptions;
  toml: string;
  flags: string[];
}

const common = "batchSize = 64\nepochs = 2\nlr = 0.002\nwarmup = 3\nseed = 5\ntruncate = true\n";
const commonFit: FitOptions = { batchSize: 64, epochs: 2, lr: 0.002, warmup: 3, seed: 5, truncate: true };
const runs: Run[] = [
  { name: "plain", pairs: () => webDataset(shard), data: shard, fit: commonFit, toml: common, flags: [] },
  {
    name: "augmented",
    pairs: () => webDataset(shard),
    data: shard,
    fit: { ...commonFit, augment: { flip: 0.5 }, muon: { lr: 0.02 }, emaDecay: 0.9, microBatchSize: 32 },
    toml: `${common}augment = { flip = 0.5 }\nmuon = { lr = 0.02 }\nemaDecay = 0.9\nmicroBatchSize = 32\n`,
    flags: [],
  },
  {
    // JPEGs, and pairs that are skipped
    name: "photos",
    pairs: () => imageFolder(photos),
    data: photos,
    fit: { batchSize: 2, epochs: 6, lr: 0.002, warmup: 0, truncate: true, badPairs: "skip" },
    toml: 'batchSize = 2\nepochs = 6\nlr = 0.002\nwarmup = 0\ntruncate = true\nbadPairs = "skip"\n',
    flags: ["--bad-pairs", "skip"],
  },
];

test.each(runs)("the $name run", { timeout: 300_000 }, async ({ name, pairs, data, fit, toml, flags }) => {
  const { truncate = false, badPairs = "stop" } = fit;
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
  const before = await take(trainer.fit(pairs, fit), 4);
  const state = join(folder, `${name}.clip`);
  await trainer.saveCheckpoint(state);
  const after = await take(trainer.resumeFit(pairs, { truncate, badPairs }));
  trainer.dispose();
  expect(before.length + after.length).toBe(before[0]?.totalSteps);

  // from the package to the native program
  const truncated = truncate ? ["--truncate"] : [];
  expectSame(await trainNatively(`${name}-on`, data, "--resume", state, ...truncated, ...flags), after);

  // the whole run natively: the same weights, the same order
  const config = join(folder, `${name}.toml`);
  writeFileSync(config, `seed = 3\n[config]\n${toToml(tinyConfig)}[fit]\n${toml}`);
  const native = await trainNatively(name, data, "--config", config, "--save-frequency", "1", ...flags);
  expectSame(native, [...before, ...after]);

  // and from the native program to the package
  const saved = join(folder, name, "checkpoints", "epoch-0001.clip");
  const resumed = await ClipTrainer.resume(saved, { device: "cpu" });
  const rest = await take(resumed.resumeFit(pairs, { truncate, badPairs }));
  resumed.dispose();
  expect(rest[0]?.epoch).toBe(2);
  expectSame(rest, native.slice(-rest.length));
});
