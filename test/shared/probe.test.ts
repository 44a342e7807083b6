/** Linear probes of a model's embeddings. */

import { Clip, ClipTrainer, type Embeddings } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fixture, get, maxError, parseSafetensors, text } from "../support";

let clip: Clip;
beforeAll(async () => {
  const weights = await fixture("training/init.hf.safetensors");
  clip = await Clip.load({ weights, config: await text("training/hf_config.json") }, { device: "cpu" });
});
afterAll(() => clip.dispose());

/** Features that scikit-learn was given, and its results. */
async function golden() {
  const { tensors } = parseSafetensors(await fixture("training/probe.safetensors"));
  const { data, shape } = get(tensors, "features");
  const features = { data, shape, normalized: true } as Embeddings;
  const labels = Array.from(get(tensors, "classes").data, (n) => `class ${n}`);
  return { tensors, features, labels };
}

test("a probe has scikit-learn's weights and probabilities", async () => {
  const { tensors, features, labels } = await golden();
  for (const c of [0.316, 10]) {
    const name = c === 10 ? "10.0" : "0.316";
    const probe = await clip.linearProbe(features, labels, { c });
    expect(probe.labels).toEqual(["class 0", "class 1", "class 2", "class 3"]);
    expect(probe.weights.shape).toEqual([4, 13]);
    const weights = get(tensors, `weights.${name}`).data;
    const largest = Math.max(...Array.from(weights, Math.abs));
    expect(maxError(probe.weights.data, weights)).toBeLessThan(1e-3 * largest);
    const lists = await probe.classify(features, { topK: 4 });
    const expected = get(tensors, `probabilities.${name}`).data;
    for (const [row, list] of lists.entries()) {
      for (const { index, label, score } of list) {
        expect(label).toBe(`class ${index}`);
        expect(Math.abs(score - (expected[4 * row + index] as number))).toBeLessThan(5e-4);
      }
      expect(list.map(({ score }) => score)).toEqual(list.map(({ score }) => score).sort((a, b) => b - a));
    }
  }
});

test("a trainer fits the same probe", async () => {
  const { features, labels } = await golden();
  const config = await text("training/hf_config.json");
  const weights = await fixture("training/init.hf.safetensors");
  using trainer = await ClipTrainer.create({ from: { weights, config }, device: "cpu" });
  const expected = await clip.linearProbe(features, labels);
  const probe = await trainer.linearProbe(features, labels);
  expect(maxError(probe.weights.data, expected.weights.data)).toBeLessThan(1e-5);
});

test("a probe learns from images, and classifies them", async () => {
  const images = Array.from({ length: 12 }, (_, i) => {
    const level = i % 2 === 0 ? 40 : 210;
    return { data: new Uint8Array(16 * 16 * 3).fill(level + i), width: 16, height: 16 };
  });
  const labels = images.map((_, i) => (i % 2 === 0 ? "dark" : "light"));
  const probe = await clip.linearProbe(images, labels, { c: 1000 });
  const [best] = await probe.classify(images[0] as (typeof images)[0]);
  expect(best?.label).toBe("dark");
  const lists = await probe.classify(images);
  expect(lists.map(([first]) => first?.label)).toEqual(labels);
});

test("invalid labels and features are refused", async () => {
  const { features, labels } = await golden();
  const code = (labels: readonly string[], options?: { c: number }) =>
    clip.linearProbe(features, labels, options).catch((error) => error.code);
  expect(await code(labels.slice(1))).toBe("count-mismatch");
  expect(await code(labels.map(() => "same"))).toBe("invalid-option");
  expect(await code(labels, { c: 0 })).toBe("invalid-option");
  expect(await code(labels.map(() => 3) as unknown as string[])).toBe("invalid-option");
  expect(await code(3 as unknown as string[])).toBe("invalid-option");
  const data = features.data.slice();
  data[5] = Number.NaN;
  const odd = await clip.linearProbe({ ...features, data }, labels).catch((error) => error);
  expect(odd).toMatchObject({ code: "invalid-option" });
  expect(odd.message).toMatch(/^invalid option images: expected embeddings of numbers up to \S+, got NaN in row 0$/);
  expect(await clip.linearProbe([], []).catch((error) => error.code)).toBe("empty-batch");
  const probe = await clip.linearProbe(features, labels);
  const other: Embeddings = { data: new Float32Array(7), shape: [1, 7], normalized: true };
  await expect(probe.classify(other)).rejects.toMatchObject({ code: "shape-mismatch" });
  await expect(probe.classify(features, { topK: 0 })).rejects.toMatchObject({ code: "invalid-option" });
});
