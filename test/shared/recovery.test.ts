/** Runs whose worker is killed. */

import { ClipTrainer, type FitEvent, type FitOptions, isClipError } from "clipwright";
import { afterEach, expect, test } from "vitest";
import { colourPairs, inBrowser, sameBytes, tinyConfig } from "../support";

const options: FitOptions = { batchSize: 4, epochs: 10, lr: 1e-3, warmup: 3, seed: 5 };
const pairs = colourPairs(8);
const create = () => ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });

/** Workers made here, to be killed as the system would kill them. */
const workers: { terminate(): unknown }[] = [];
if (inBrowser) {
  const Plain = globalThis.Worker;
  globalThis.Worker = class extends Plain {
    constructor(...parameters: ConstructorParameters<typeof Worker>) {
      super(...parameters);
      workers.push(this);
    }
  };
} else {
  process.on("worker", (worker) => workers.push(worker));
}
const kill = () => workers.at(-1)?.terminate();
afterEach(() => workers.splice(0));

const numbers = ({ step, loss, evaluation }: FitEvent) => ({ step, loss, evaluation });

test("a killed worker is replaced, and the run ends with the same weights", async () => {
  const evaluation = { pairs, every: 3, patience: 50 };
  const whole = await create();
  const expected: FitEvent[] = [];
  for await (const event of whole.fit(pairs, { ...options, evaluation })) expected.push(event);

  const trainer = await create();
  const killAt = new Set([7, 13]);
  const got = new Map<number, FitEvent>();
  const recovered: unknown[] = [];
  // a function can be called again, a stream cannot be read again
  const source = async () => pairs;
  for await (const event of trainer.fit(source, { ...options, evaluation, autosave: { every: 4 } })) {
    got.set(event.step, event);
    if (event.recovered) recovered.push([event.step, event.recovered.code, event.recovered.reached]);
    if (killAt.delete(event.step)) kill();
  }
  expect(recovered).toEqual([
    [5, "worker-lost", 7],
    [13, "worker-lost", 13],
  ]);
  expect([...got.values()].map(numbers)).toEqual(expected.map(numbers));
  expect(sameBytes(await trainer.exportSafetensors(), await whole.exportSafetensors())).toBe(true);
  expect(await trainer.encodeText("red 1")).toEqual(await whole.encodeText("red 1"));
  trainer.dispose();
  whole.dispose();
});

test("a worker killed while it saves, or at the start of the run", async () => {
  const whole = await create();
  for await (const _ of whole.fit(pairs, options));
  const trainer = await create();
  let kills = 0;
  for await (const { step } of trainer.fit(pairs, { ...options, autosave: { every: 1 } })) {
    // kills the worker in the next step or the save after it
    if (kills < 4 && step % 4 === 1) setTimeout(kill, 3 * kills++);
  }
  expect(sameBytes(await trainer.exportSafetensors(), await whole.exportSafetensors())).toBe(true);
  trainer.dispose();
  whole.dispose();
});

test.each([
  ["without autosave", {}, "a worker"],
  ["with pairs that can be read only once", { autosave: {} }, "as an array"],
])("a run ends with worker-lost %s", async (_, more, expected) => {
  const trainer = await create();
  async function* once() {
    yield* pairs;
  }
  let message = "";
  try {
    for await (const { step } of trainer.fit(once(), { ...options, ...more })) if (step === 3) kill();
  } catch (error) {
    if (!isClipError(error)) throw error;
    expect(error.code).toBe("worker-lost");
    message = error.message;
  }
  expect(message).toContain(expected.replace("a worker", "the worker"));
  trainer.dispose();
});

test("a run gives up when its worker dies repeatedly at one step", async () => {
  const trainer = await create();
  let deaths = 0;
  const run = async () => {
    for await (const { step } of trainer.fit(pairs, { ...options, autosave: { every: 50 } })) {
      if (step !== 3) continue;
      deaths += 1;
      kill();
    }
  };
  await expect(run()).rejects.toMatchObject({ code: "worker-lost" });
  expect(deaths).toBe(4);
  trainer.dispose();
});
