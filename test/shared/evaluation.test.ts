/** Evaluation, skipped pairs and warnings during a run. */

import { ClipTrainer, type FitEvent } from "clipwright";
import { describe, expect, test } from "vitest";
import { TrainingMonitor } from "../../ts/train/training-monitor.js";
import { colourPairs, tinyConfig } from "../support";

const create = () => ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
const options = { batchSize: 4, lr: 1e-3, warmup: 3 };

async function all(run: AsyncIterable<FitEvent>): Promise<FitEvent[]> {
  const events = [];
  for await (const event of run) events.push(event);
  return events;
}

test("evaluates every few steps and at the last one, on pairs streamed once", async () => {
  const trainer = await create();
  const held = colourPairs(6);
  async function* stream() {
    yield* held;
  }
  const evaluation = { pairs: stream(), distractors: { images: [], texts: [] }, every: 4, truncate: true };
  const events = await all(trainer.fit(colourPairs(8), { ...options, epochs: 5, evaluation }));
  expect(events.filter((event) => event.evaluation).map(({ step }) => step)).toEqual([4, 8, 10]);
  expect(events.at(-1)?.evaluation).toEqual(await trainer.evaluate(held, { truncate: true }));
  trainer.dispose();
});

test("evaluates labelled images as the zero-shot classifier does", async () => {
  const trainer = await create();
  const pairs = colourPairs(8);
  const zeroShot = {
    images: pairs.map(({ image }) => image),
    labels: pairs.map(({ text }, i) => (i === 7 ? "red 0" : text)),
    templates: ["{}"],
  };
  const evaluation = { pairs, every: 60, zeroShot, truncate: true };
  const events = await all(trainer.fit(pairs, { ...options, batchSize: 8, lr: 1e-2, epochs: 120, evaluation }));
  const judged = events.flatMap(({ evaluation }) => evaluation?.zeroShot ?? []);
  expect(judged).toHaveLength(2);
  const names = [...new Set(zeroShot.labels)];
  const classifier = await trainer.zeroShotClassifier(names, { templates: zeroShot.templates, truncate: true });
  const lists = await classifier.classify(zeroShot.images, { topK: 5 });
  const first = lists.filter(([best], i) => best?.label === zeroShot.labels[i]).length / 8;
  expect(judged[1]?.top1).toBe(first);
  expect(judged[1]?.top5).toBeGreaterThanOrEqual(first);
  // the model has memorized all but the one with a wrong label
  expect(first).toBeGreaterThan(0.5);
  const bad = { pairs, every: 1, zeroShot: { images: zeroShot.images, labels: ["one"] } };
  await expect(all(trainer.fit(pairs, { ...options, evaluation: bad }))).rejects.toMatchObject({
    code: "count-mismatch",
  });
  trainer.dispose();
});

test("patience ends a run that stops improving, and it can be resumed", async () => {
  const trainer = await create();
  const pairs = colourPairs(8);
  // a negligible learning rate
  const evaluation = { pairs, every: 2, patience: 2 };
  const events = await all(trainer.fit(pairs, { ...options, lr: 1e-12, weightDecay: 0, epochs: 50, evaluation }));
  expect(events.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  const rest = await all(trainer.resumeFit(pairs, { evaluation: { pairs, every: 97 } }));
  expect(rest.map(({ step }) => step).slice(0, 2)).toEqual([7, 8]);
  expect(rest.filter((event) => event.evaluation).map(({ step }) => step)).toEqual([97, 100]);
  trainer.dispose();
});

test.each([{ every: 0 }, { every: 1.5 }, { every: 1, patience: 0 }])(
  "%j is refused before anything is sent",
  async (numbers) => {
    const trainer = await create();
    const run = all(trainer.fit(colourPairs(4), { ...options, evaluation: { pairs: colourPairs(4), ...numbers } }));
    await expect(run).rejects.toMatchObject({ code: "invalid-option" });
    trainer.dispose();
  },
);

describe("bad pairs", () => {
  const withBad = () => {
    const pairs = colourPairs(8);
    const noImage = { image: new Uint8Array([1, 2, 3]), text: "red 1", key: "broken" };
    const tooLong = { ...pairs[0], text: "word ".repeat(90) } as (typeof pairs)[number];
    return [...pairs.slice(0, 2), noImage, ...pairs.slice(2), tooLong];
  };

  test("are skipped and reported with badPairs: skip, and the run is that of the others", async () => {
    const trainer = await create();
    const good = await create();
    const events = await all(trainer.fit(withBad(), { ...options, epochs: 2, badPairs: "skip" }));
    const expected = await all(good.fit(colourPairs(8), { ...options, epochs: 2 }));
    expect(events.map(({ loss }) => loss)).toEqual(expected.map(({ loss }) => loss));
    expect(events[0]?.skipped).toEqual([
      { index: 2, key: "broken", code: "undecodable-image", message: expect.stringMatching(/^pair 2 \(broken\): /) },
      { index: 9, code: "caption-too-long", message: expect.stringMatching(/^pair 9: /) },
    ]);
    expect(events.slice(1).some((event) => "skipped" in event)).toBe(false);
    trainer.dispose();
    good.dispose();
  });

  test("are skipped among validation pairs as well", async () => {
    const trainer = await create();
    const evaluation = { pairs: withBad(), distractors: withBad(), every: 2, truncate: true };
    const events = await all(trainer.fit(colourPairs(8), { ...options, epochs: 1, evaluation, badPairs: "skip" }));
    expect(events[0]?.skipped).toMatchObject([{ index: 2, key: "broken", judged: true }]);
    expect(events[1]?.evaluation?.textToImage.r10).toBeGreaterThan(0);
    await expect(all(trainer.fit(colourPairs(8), { ...options, epochs: 1, evaluation }))).rejects.toMatchObject({
      code: "undecodable-image",
    });
    trainer.dispose();
  });

  test("stop the run with badPairs: stop, or where there are no others", async () => {
    const trainer = await create();
    const run = (pairs: ReturnType<typeof withBad>, badPairs: "stop" | "skip") =>
      all(trainer.fit(pairs, { ...options, epochs: 1, badPairs }));
    await expect(run(withBad(), "stop")).rejects.toMatchObject({ code: "undecodable-image" });
    await expect(run(withBad().slice(2, 3), "skip")).rejects.toMatchObject({ code: "invalid-dataset" });
    await expect(run([], "skip")).rejects.toMatchObject({ code: "empty-batch" });
    await expect(run(withBad(), "ask" as "skip")).rejects.toMatchObject({ code: "invalid-option" });
    trainer.dispose();
  });
});

describe("warnings", () => {
  test("of duplicate captions, unless they are masked", async () => {
    for (const maskDuplicates of [false, true]) {
      const trainer = await create();
      const pairs = [...colourPairs(4), ...colourPairs(4)];
      const events = await all(trainer.fit(pairs, { ...options, batchSize: 8, epochs: 2, maskDuplicates }));
      const codes = events.flatMap(({ warnings }) => warnings ?? []).map(({ code }) => code);
      expect(codes).toEqual(maskDuplicates ? [] : ["duplicate-captions"]);
      trainer.dispose();
    }
  });

  /** Returns the warnings of a run with these losses, with their steps. */
  function warningsOf(losses: number[], logitScale: number, alike = 0.5) {
    const monitor = new TrainingMonitor(false);
    return losses.flatMap((loss, index) => {
      const event = {
        step: index + 1,
        loss,
        logitScale,
        batchSize: 64,
        likeness: { image: 0.5, text: alike },
      } as FitEvent;
      return monitor.look(event).map(({ code }) => [code, index + 1]);
    });
  }
  const guess = Math.log(64);
  const falling = Array.from({ length: 300 }, (_, i) => guess * Math.exp(-i / 60) + 0.1 * Math.sin(i));

  test.each([
    ["a loss that falls", falling, 2.66, []],
    ["a loss that stays that of guessing", Array(300).fill(guess + 0.01), 2.66, [["loss-stuck", 100]]],
    ["a loss that starts to fall late", falling.map((loss, i) => (i < 60 ? guess : loss)), 2.66, []],
    ["a loss that rises", [...falling, ...Array(40).fill(3)], 2.66, [["loss-rising", 304]]],
    ["a logitScale at its maximum", falling, Math.log(100), [["logit-scale-capped", 20]]],
    ["too few steps", falling.slice(0, 19), Math.log(100), []],
  ])("of %s", (_, losses, logitScale, expected) => {
    expect(warningsOf(losses, logitScale)).toEqual(expected);
  });

  test("of collapsed embeddings", () => {
    expect(warningsOf(falling, 2.66, 0.995)).toEqual([["embeddings-alike", 100]]);
  });
});
