/** Indexes in memory and kept ones: as a user has them, reopened, in two tabs, with the wrong model, damaged. */

import { Clip } from "clipwright";
import { VectorIndex } from "clipwright/search";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeIndex } from "../index-cases";
import { failure, fixture, hasPrivateFiles, inBrowser, text } from "../support";

/** WebKitGTK keeps no files for pages. */
const keeps = !inBrowser || hasPrivateFiles;

let folder: string | undefined;

beforeAll(async () => {
  if (inBrowser) return;
  const { mkdtemp } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  folder = await mkdtemp(`${tmpdir()}/clipwright-index-`);
  process.env.XDG_DATA_HOME = folder;
});

afterAll(async () => {
  if (keeps) for (const name of await VectorIndex.list()) await VectorIndex.delete(name);
  if (folder) await (await import("node:fs/promises")).rm(folder, { recursive: true });
});

let count = 0;
const fresh = () => `index ${count++} äß%2f`;

describeIndex("an index in memory", (options) => VectorIndex.inMemory(options));
if (keeps) describeIndex("a kept index", (options) => VectorIndex.open(fresh(), options));

async function model(name: string, dtype: "f32" | "q8" = "f32"): Promise<Clip> {
  const base = `models/${name}/hf`;
  const files = {
    weights: await fixture(`${base}/model.safetensors`),
    config: JSON.parse(await text(`${base}/config.json`)),
    preprocess: JSON.parse(await text(`${base}/preprocessor_config.json`)),
    tokenizer: JSON.parse(await text(`${base}/tokenizer.json`)),
  };
  return Clip.load(files, { device: "cpu", dtype });
}

const red = { data: new Uint8Array(16 * 16 * 3).map((_, i) => (i % 3 === 0 ? 255 : 0)), width: 16, height: 16 };
const blue = { data: new Uint8Array(16 * 16 * 3).map((_, i) => (i % 3 === 2 ? 255 : 0)), width: 16, height: 16 };

test("a model embeds items and queries", async () => {
  const clip = await model("clip-quickgelu-p8");
  const index = await VectorIndex.inMemory({ model: clip, storage: "f32" });
  await index.add([
    { id: "red", image: red },
    { id: "blue", image: blue, metadata: { hue: 240 } },
    { id: "words", text: "a red square" },
  ]);
  expect((await index.search({ image: blue }, { k: 1 }))[0]).toMatchObject({ id: "blue", metadata: { hue: 240 } });
  const [best] = await index.search("a red square", { k: 1 });
  expect(best?.id).toBe("words");
  expect(best?.score).toBeCloseTo(1, 5);
  const { data } = await clip.encodeImage(red);
  const { data: kept } = await index.vectors(["red"]);
  expect(Math.max(...kept.map((x, i) => Math.abs(x - (data[i] ?? 0))))).toBeLessThan(1e-6);
  await index.close();
  clip.dispose();
});

test("clusters are named by the words that lead them", async () => {
  const vectors: Record<string, [number, number, number]> = {
    sea: [1, 0, 0.5],
    wood: [0, 1, 0.5],
    photo: [0.5, 0.5, 2],
  };
  const model = {
    encodeText: async (texts: string[]) => {
      const data = Float32Array.from(texts.flatMap((text) => vectors[text] ?? [1, 1, 1]));
      return { data, shape: [texts.length, 3] as [number, number] };
    },
  };
  const index = await VectorIndex.inMemory({ model, storage: "f32" });
  // all pictures are near to "photo"
  await index.add([
    ...Array.from({ length: 10 }, (_, i) => ({ id: `s${i}`, vector: [1, i / 50, 2] })),
    ...Array.from({ length: 10 }, (_, i) => ({ id: `w${i}`, vector: [i / 50, 1, 2] })),
  ]);
  const clusters = await index.clusters({ k: 2, words: ["photo", "wood", "sea"] });
  expect(clusters.map(({ name, ids }) => [name, ids[0]?.[0]]).sort()).toEqual([
    ["sea", "s"],
    ["wood", "w"],
  ]);
  await index.close();
});

test("a model of one function, and one of none", async () => {
  const one = {
    encodeText: async (texts: string[]) => ({
      data: new Float32Array(texts.length * 2).fill(1),
      shape: [texts.length, 2] as [number, number],
    }),
  };
  const index = await VectorIndex.inMemory({ model: one });
  await index.add({ id: "a", text: "anything" });
  expect(await index.search("else")).toMatchObject([{ id: "a" }]);
  expect((await failure(index.search({ image: red }))).message).toMatch(/without a model for a image/);
  await index.close();
  expect((await failure(VectorIndex.inMemory({ model: {} }))).message).toMatch(/encodeText or encodeImage/);
  expect((await failure(VectorIndex.inMemory({}))).code).toBe("index-missing");
  expect((await failure(VectorIndex.inMemory({ dimension: 70_000 }))).code).toBe("invalid-option");
  expect((await failure(VectorIndex.open("a/b"))).message).toMatch(/name of at most 100 characters without slashes/);
  expect((await failure(VectorIndex.open({} as never))).code).toBe("invalid-option");
  expect((await failure(VectorIndex.inMemory({ dimension: 2, metric: "l2" } as never))).message).toMatch(/metric/);
});

if (!keeps)
  test("says that this browser keeps nothing", async () => {
    const error = await failure(VectorIndex.open("photos", { dimension: 2 }));
    expect(error.code).toBe("platform-unsupported");
    expect(error.message).toMatch(/VectorIndex.inMemory/);
  });

if (keeps)
  describe("kept", () => {
    test("is the same when it is opened again", async () => {
      const name = fresh();
      for (const storage of ["f32", "f16", "int8"] as const) {
        const first = await VectorIndex.open(name, { dimension: 4, storage });
        await first.add([
          { id: "a", vector: [1, 2, 3, 4], metadata: { n: [1, "x", null] } },
          { id: "b", vector: [4, -3, 2, 1] },
        ]);
        await first.delete("a");
        await first.add({ id: "c", vector: [1, 1, 1, 1] });
        const before = await first.search([1, 2, 3, 5]);
        const vectors = await first.vectors(["b", "c"]);
        await first.close();
        expect((await failure(first.size())).code).toBe("disposed");

        const again = await VectorIndex.open(name);
        expect([again.dimension, again.storage]).toEqual([4, storage]);
        expect(await again.search([1, 2, 3, 5])).toEqual(before);
        expect(await again.vectors(["b", "c"])).toEqual(vectors);
        await again.close();
        expect(await VectorIndex.list()).toContain(name);
        expect(await VectorIndex.delete(name)).toBe(true);
        expect(await VectorIndex.delete(name)).toBe(false);
        expect(await VectorIndex.list()).not.toContain(name);
      }
    });

    test("refuses another model, dimension or storage", async () => {
      const [clip, other] = [await model("clip-quickgelu-p8"), await model("clip-gelu-p16-eos")];
      const name = fresh();
      const index = await VectorIndex.open(name, { model: clip });
      await index.add({ id: "red", image: red });
      await index.close();
      const q8 = await model("clip-quickgelu-p8", "q8");
      const again = await VectorIndex.open(name, { model: q8 });
      expect((await again.search({ image: red }))[0]?.score).toBeGreaterThan(0.99);
      await again.close();
      const cases: [Parameters<typeof VectorIndex.open>[1], string, RegExp][] = [
        [{ model: other }, "wrong-model", /vectors of another model/],
        [{ model: "ViT-B-32" }, "wrong-model", /given as a model, not by name/],
        [{ dimension: 7 }, "shape-mismatch", /the index has vectors of 40 numbers, not 7/],
        [{ model: clip, dimension: 7 }, "shape-mismatch", /expected 40, as the model has it, got 7/],
        [{ storage: "f32" }, "invalid-option", /the index keeps int8/],
      ];
      for (const [options, code, message] of cases) {
        const error = await failure(VectorIndex.open(name, options));
        expect(error.message).toMatch(message);
        expect(error.code).toBe(code);
      }
      const named = fresh();
      await (await VectorIndex.open(named, { model: "mine v1", dimension: 2 })).close();
      await (await VectorIndex.open(named, { model: "mine v1" })).close();
      expect((await failure(VectorIndex.open(named, { model: "mine v2" }))).message).toMatch(
        /"mine v1", not "mine v2"/,
      );
      expect((await failure(VectorIndex.open(fresh()))).code).toBe("index-missing");
      for (const one of [clip, other, q8]) one.dispose();
    });

    test("two workers write and read one index, as two tabs do", async () => {
      const name = fresh();
      const [a, b] = [await VectorIndex.open(name, { dimension: 2 }), await VectorIndex.open(name, { dimension: 2 })];
      let changes = 0;
      const stop = b.onChange(() => changes++);
      await a.add({ id: "a", vector: [1, 0] });
      expect((await b.search([1, 0]))[0]?.id).toBe("a");
      await b.add({ id: "b", vector: [0, 1] });
      expect((await failure(a.add({ id: "b", vector: [0, 1] }))).code).toBe("duplicate-id");
      await b.delete("a");
      expect((await a.search([1, 0])).map(({ id }) => id)).toEqual(["b"]);
      await a.add({ id: "c", vector: [1, 0] });
      expect((await b.search([1, 0], { k: 1 }))[0]?.id).toBe("c");
      // both at once
      const batch = (prefix: string) =>
        Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            (prefix === "x" ? a : b).add({ id: `${prefix}${i}`, vector: [i + 1, 1] }),
          ),
        );
      await Promise.all([batch("x"), batch("y")]);
      expect([await a.size(), await b.size()]).toEqual([22, 22]);
      expect(await a.search([1, 0], { k: 30 })).toHaveLength(22);
      expect((await b.search([1, 0], { k: 30 })).map(({ id }) => id).sort()).toEqual(
        (await a.search([1, 0], { k: 30 })).map(({ id }) => id).sort(),
      );
      // ten of its own are not among them
      if (inBrowser) expect(changes).toBe(12);
      stop();
      await a.close();
      await b.close();
    });

    test("says that an index was deleted meanwhile", async () => {
      const name = fresh();
      const index = await VectorIndex.open(name, { dimension: 2 });
      await index.add({ id: "a", vector: [1, 0] });
      expect(await VectorIndex.delete(name)).toBe(true);
      expect((await failure(index.add({ id: "b", vector: [1, 0] }))).code).toBe("index-missing");
      const other = await VectorIndex.open(name, { dimension: 2 });
      expect((await failure(index.search([1, 0]))).code).toBe("index-missing");
      expect(await other.size()).toBe(0);
      await other.close();
      await index.close();
    });
  });
