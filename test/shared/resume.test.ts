/** Runs that are stopped, saved and resumed. */

import { Clip, ClipTrainer, type FitOptions, isClipError, type StepEvent } from "clipwright";
import { describe, expect, test } from "vitest";
import { colourPairs, maxError, tinyConfig } from "../support";

const options: FitOptions = {
  batchSize: 4,
  microBatchSize: 3,
  epochs: 10,
  lr: 1e-3 / 3,
  warmup: 3,
  clipNorm: 0.5,
  seed: 5,
};
const pairs = () => colourPairs(8);
const create = () => ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });

/** Events without speed, the only part that differs between equal runs. */
const numbers = ({ samplesPerSecond, secondsLeft, ...event }: StepEvent) => event;

/** Takes at most `count` steps. */
async function take(run: AsyncIterable<StepEvent>, count: number) {
  const events = [];
  for await (const event of run) {
    events.push(numbers(event));
    if (events.length === count) break;
  }
  return events;
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (isClipError(error)) return error.code;
    throw error;
  }
  return "none";
}

test("twenty steps equal ten and ten more in a new worker, bit for bit", async () => {
  const whole = await create();
  const expected = await take(whole.fit(pairs(), options), 99);
  expect(expected).toHaveLength(20);
  expect(expected[0]?.gradientNorm).toBeGreaterThan(0);

  const first = await create();
  const got = [];
  let state: Uint8Array = new Uint8Array();
  for await (const event of first.fit(pairs(), options)) {
    got.push(numbers(event));
    if (event.step < 10) continue;
    // saved during the run, without a stop
    state = await first.saveCheckpoint();
    break;
  }
  first.dispose();
  const second = await ClipTrainer.resume(state, { device: "cpu" });
  got.push(...(await take(second.resumeFit(pairs()), 99)));
  expect(got).toEqual(expected);
  expect(await second.exportSafetensors()).toEqual(await whole.exportSafetensors());
  expect(await second.encodeText("red 1")).toEqual(await whole.encodeText("red 1"));
  whole.dispose();
  second.dispose();
});

test("a run that was left resumes in the same trainer, and from its saved state in another", async () => {
  const trainer = await create();
  const before = await take(trainer.fit(pairs(), options), 7);
  const state = await trainer.saveCheckpoint();
  const other = await ClipTrainer.resume(state, { device: "cpu" });
  const [here, there] = [await take(trainer.resumeFit(pairs()), 99), await take(other.resumeFit(pairs()), 99)];
  expect([...before, ...here].map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  expect(there).toEqual(here);
  // a finished run cannot be resumed
  expect(await refusal(take(other.resumeFit(pairs()), 1))).toBe("no-run");
  expect(await take(other.fit(pairs(), { ...options, epochs: 1 }), 9)).toHaveLength(2);
  trainer.dispose();
  other.dispose();
});

test("micro-batches have the gradients of whole batches", async () => {
  const losses = [];
  for (const microBatchSize of [undefined, 3]) {
    const trainer = await create();
    const { clipNorm, microBatchSize: _, ...rest } = options;
    const run = trainer.fit(pairs(), microBatchSize === undefined ? rest : { ...rest, microBatchSize });
    losses.push((await take(run, 99)).map(({ loss }) => loss));
    trainer.dispose();
  }
  expect(maxError(losses[1] ?? [], losses[0] ?? [])).toBeLessThan(1e-3);
});

test("a linear schedule, and masked duplicates", async () => {
  const trainer = await create();
  const twice = [...pairs(), ...pairs()];
  const [first] = await take(trainer.fit(twice, { batchSize: 16, epochs: 1, schedule: "linear" }), 1);
  const masked = await create();
  const [other] = await take(masked.fit(twice, { batchSize: 16, epochs: 1, maskDuplicates: true }), 1);
  // each pair has one negative less
  expect((first?.loss ?? 0) - (other?.loss ?? 0)).toBeGreaterThan(0.03);
  trainer.dispose();
  masked.dispose();
});

test.each(["image", "text"] as const)("a locked %s tower does not change, and the other learns", async (lock) => {
  const trainer = await create();
  const image = pairs().map(({ image }) => image);
  const texts = pairs().map(({ text }) => text);
  // the first run made the vocabulary
  await take(trainer.fit(pairs(), options), 1);
  const embed = async () => ({ image: await trainer.encodeImage(image), text: await trainer.encodeText(texts) });
  const before = await embed();
  const events = await take(trainer.fit(pairs(), { ...options, lock }), 99);
  const after = await embed();
  expect(after[lock]).toEqual(before[lock]);
  expect(after[lock === "image" ? "text" : "image"]).not.toEqual(before[lock === "image" ? "text" : "image"]);
  expect(events.at(-1)?.loss).toBeLessThan(events[0]?.loss ?? 0);
  trainer.dispose();
});

describe("refused without loss", () => {
  test("settings out of range", async () => {
    const trainer = await create();
    for (const bad of [
      { microBatchSize: 0 },
      { microBatchSize: 1.5 },
      { clipNorm: 0 },
      { clipNorm: Number.NaN },
      { labelSmoothing: 1 },
      { labelSmoothing: -0.1 },
      { schedule: "step" as "linear" },
      { lock: "both" as "image" },
      { patchDropout: 1 },
      { precision: "fp16" as "f16" },
      { emaDecay: 1 },
      { lastBlocks: -1 },
      { lora: { rank: 0, alpha: 1 } },
      { lora: { rank: 1.5, alpha: 1 } },
      { lora: { rank: 1, alpha: 0 } },
      { lora: { rank: 1 } as { rank: number; alpha: number } },
      { lora: { rank: 1, alpha: 1 }, lastBlocks: 1 },
    ]) {
      expect(await refusal(take(trainer.fit(pairs(), { ...options, ...bad }), 1))).toBe("invalid-option");
    }
    trainer.dispose();
    const siglip = await ClipTrainer.create({ config: { ...tinyConfig, objective: "sigmoid" }, device: "cpu" });
    expect(await refusal(take(siglip.fit(pairs(), { ...options, labelSmoothing: 0.1 }), 1))).toBe("invalid-option");
    expect(await take(siglip.fit(pairs(), options), 99)).toHaveLength(20);
    siglip.dispose();
  });

  test("files that are no state, and other pairs", async () => {
    const trainer = await create();
    expect(await refusal(trainer.saveCheckpoint())).toBe("no-weights");
    expect(await refusal(take(trainer.resumeFit(pairs()), 1))).toBe("no-run");
    await take(trainer.fit(pairs(), options), 3);
    const state = await trainer.saveCheckpoint();
    for (const [bytes, code] of [
      [new Uint8Array(), "invalid-checkpoint"],
      [await trainer.exportSafetensors(), "invalid-checkpoint"],
      [state.subarray(0, state.length - 1), "invalid-checkpoint"],
      [state.with(state.length - 1, (state.at(-1) ?? 0) ^ 1), "invalid-checkpoint"],
      [7 as unknown as Uint8Array, "invalid-source"],
    ] as const) {
      expect(await refusal(ClipTrainer.resume(bytes, { device: "cpu" }))).toBe(code);
    }
    await expect(Clip.load({ weights: state }, { device: "cpu" })).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringContaining("it is a training state: resume its run"),
    });
    const resumed = await ClipTrainer.resume(new Blob([state as Uint8Array<ArrayBuffer>]), { device: "cpu" });
    expect(await refusal(take(resumed.resumeFit(colourPairs(7)), 1))).toBe("count-mismatch");
    const others = pairs().map((pair, i) => ({ ...pair, text: i === 0 ? "blue 99" : pair.text }));
    expect(await refusal(take(resumed.resumeFit(others), 1))).toBe("other-pairs");
    const running = resumed.resumeFit(pairs());
    await running.next();
    expect(await refusal(take(resumed.resumeFit(pairs()), 1))).toBe("already-training");
    expect(numbers((await running.next()).value as StepEvent)).toMatchObject({ step: 5 });
    await running.return();
    trainer.dispose();
    resumed.dispose();
  });
});
