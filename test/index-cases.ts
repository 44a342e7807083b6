/** What every index does, wherever it is kept: the same tests for each store. */

import type { Filter, IndexItem, Metadata, VectorIndex } from "clipwright/search";
import { afterEach, describe, expect, test } from "vitest";
import { matches, parseFilter } from "../workers/stores/filter";
import { failure, seeded } from "./support";

/** Opens an index that is new each time. */
export type OpenNew = (options: { dimension: number; storage?: "f32" | "f16" | "int8" }) => Promise<VectorIndex>;

const item = (id: string, vector: number[], metadata?: Metadata): IndexItem => ({
  id,
  vector,
  ...(metadata && { metadata }),
});

const METADATA: Metadata[] = [
  { year: 2019, tags: ["sea", "boat"], exif: { camera: "A" }, rating: 5, isRaw: true },
  { year: 2020, tags: ["sea"], exif: { camera: "B", "focal length": 35 }, rating: null },
  { year: 2021, tags: [], exif: {}, rating: 3.5, isRaw: false },
  { year: "2021", tags: [1, "boat"], title: "Ünïcödé 🛶", nested: [{ a: 1 }] },
  {},
];

/** Filters, and the numbers of the items that meet them. */
const FILTERS: [Filter, number[]][] = [
  [{}, [0, 1, 2, 3, 4]],
  [{ year: 2020 }, [1]],
  [{ year: "2021" }, [3]],
  [{ tags: "sea" }, [0, 1]],
  [{ tags: 1 }, [3]],
  [{ tags: { $in: ["boat", "car"] } }, [0, 3]],
  [{ tags: { $in: [] } }, []],
  [{ "exif.camera": "A" }, [0]],
  [{ "exif.focal length": { $gt: 34, $lt: 36 } }, [1]],
  [{ exif: "A" }, []],
  [{ exif: { $exists: true } }, [0, 1, 2]],
  [{ rating: null }, [1]],
  [{ rating: { $exists: false } }, [3, 4]],
  [{ rating: { $gte: 3.5 } }, [0, 2]],
  [{ year: { $lt: 2021 } }, [0, 1]],
  [{ year: { $lte: "2021" } }, [3]],
  [{ title: { $gt: "Zebra" } }, [3]],
  [{ isRaw: true }, [0]],
  [{ isRaw: 1 }, []],
  [{ isRaw: { $ne: true } }, [1, 2, 3, 4]],
  [{ $not: { isRaw: false } }, [0, 1, 3, 4]],
  [{ $or: [{ year: 2019 }, { title: { $exists: true } }] }, [0, 3]],
  [{ $and: [{ tags: "sea" }, { rating: 5 }] }, [0]],
  [{ $or: [] }, []],
  [{ nested: { $exists: true }, year: { $eq: "2021" } }, [3]],
  [{ missing: { $gt: 0 } }, []],
];

const BAD_FILTERS: [unknown, RegExp][] = [
  [{ year: { $near: 1 } }, /\$near is no operator: use \$eq/],
  [{ $nor: [] }, /\$nor is no operator here/],
  [{ year: [2020] }, /takes a string, a finite number/],
  [{ year: {} }, /year has no condition/],
  [{ year: { $gt: true } }, /\$gt takes a finite number or a string/],
  [{ year: { $in: 2020 } }, /\$in takes a list/],
  [{ "a..b": 1 }, /empty name/],
  [{ 'a"b': 1 }, /a quote/],
  [{ $and: {} }, /\$and takes a list/],
];

/** Declares the tests. */
export function describeIndex(name: string, openNew: OpenNew): void {
  describe(name, () => {
    const opened: VectorIndex[] = [];
    const open: OpenNew = async (options) => {
      const index = await openNew(options);
      opened.push(index);
      return index;
    };
    afterEach(async () => {
      for (const index of opened.splice(0)) await index.close();
    });

    const ids = async (index: VectorIndex): Promise<string[]> => {
      const found: string[] = [];
      for await (const { id } of index.items()) found.push(id);
      return found.sort();
    };

    test("adds, finds, changes and deletes items", async () => {
      const index = await open({ dimension: 3 });
      await index.add([item("a", [1, 0, 0], { n: 1 }), item("b", [0, 5, 0]), item("c", [1, 1, 0], { n: 3 })]);
      expect(await index.size()).toBe(3);
      const [first, second, third] = await index.search([2, 0.1, 0]);
      expect([first?.id, second?.id, third?.id]).toEqual(["a", "c", "b"]);
      expect(first?.score).toBeCloseTo(2 / Math.hypot(2, 0.1), 3);
      expect(first?.metadata).toEqual({ n: 1 });
      expect(third?.metadata).toBeUndefined();

      await index.put([item("a", [0, 0, 1]), item("d", [1, 0, 0])]);
      expect((await index.search([1, 0, 0], { k: 1 }))[0]?.id).toBe("d");
      expect(await index.get("a")).toEqual({ id: "a", metadata: undefined });

      await index.update({ id: "c", metadata: { n: 4 } });
      await index.update({ id: "b", vector: [0, 0, -1] });
      expect(await index.get("c")).toEqual({ id: "c", metadata: { n: 4 } });
      expect((await index.search([0, 0, -1], { k: 1 }))[0]?.id).toBe("b");
      await index.update({ id: "c", metadata: null });
      expect((await index.get("c"))?.metadata).toBeUndefined();
      expect((await index.search([1, 1, 0], { k: 1 }))[0]).toMatchObject({ id: "c" });

      expect(await index.delete(["d", "x", "d"])).toBe(1);
      expect(await index.delete("x")).toBe(0);
      expect(await index.get("d")).toBeUndefined();
      expect(await index.has(["a", "d", "c"])).toEqual([true, false, true]);
      expect((await index.search([1, 0, 0])).map(({ id }) => id)).not.toContain("d");
      await index.add(item("e", [1, 0, 0]));
      expect((await index.search([1, 0, 0], { k: 1 }))[0]?.id).toBe("e");
      expect(await ids(index)).toEqual(["a", "b", "c", "e"]);
    });

    test("searches by text, item, embeddings, sums and pages", async () => {
      const index = await open({ dimension: 2 });
      const embeddings = {
        data: new Float32Array([1, 0, 0, 1, 3, 3]),
        shape: [3, 2] as [number, number],
        normalized: true as const,
      };
      await index.add({ ids: ["x", "y", "xy"], embeddings, metadata: [{ n: 1 }, undefined, { n: 3 }] });
      expect((await index.search({ id: "y" })).map(({ id }) => id)).toEqual(["y", "xy", "x"]);
      expect((await index.search({ add: { id: "xy" }, subtract: [[0, 1]] }, { k: 1 }))[0]?.id).toBe("x");
      expect((await index.search({ add: [[1, 0], new Float32Array([0, 9])] }, { k: 1 }))[0]).toMatchObject({
        id: "xy",
      });
      const many = await index.searchMany(embeddings, { k: 1 });
      expect(many.map(([match]) => match?.id)).toEqual(["x", "y", "xy"]);
      expect((await index.search([1, 0.5], { k: 1, offset: 1 }))[0]?.id).toBe("x");
      expect(await index.search([1, 0.5], { offset: 3 })).toEqual([]);
      expect((await index.search([1, 0], { minScore: 0.5 })).map(({ id }) => id)).toEqual(["x", "xy"]);
      const { data, shape } = await index.vectors(["xy", "x"]);
      expect(shape).toEqual([2, 2]);
      expect(data[0]).toBeCloseTo(Math.SQRT1_2, 3);
      expect(data[2]).toBeCloseTo(1, 3);
      expect(await index.search([1, 0], { filter: { n: { $exists: true } }, k: 5 })).toHaveLength(2);
    });

    test.each(["f32", "f16", "int8"] as const)("finds what a scan in f64 finds, kept as %s", async (storage) => {
      const [count, dimension] = [300, 32];
      const index = await open({ dimension, storage });
      const random = seeded(7);
      const data = Float32Array.from({ length: count * dimension }, () => random() - 0.5);
      const row = (i: number) => data.subarray(i * dimension, (i + 1) * dimension);
      await index.add(Array.from({ length: count }, (_, i) => ({ id: `i${i}`, vector: row(i) })));
      await index.delete(Array.from({ length: 50 }, (_, i) => `i${i * 3}`));
      const left = Array.from({ length: count }, (_, i) => i).filter((i) => i % 3 > 0 || i >= 150);
      const query = Float32Array.from({ length: dimension }, () => random() - 0.5);
      const cosine = (a: Float32Array, b: Float32Array) =>
        a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));
      const expected = left
        .map((i) => ({ id: `i${i}`, score: cosine(row(i), query) }))
        .sort((a, b) => b.score - a.score);
      const found = await index.search(query, { k: 10 });
      expect(found.map(({ id }) => id)).toEqual(expected.slice(0, 10).map(({ id }) => id));
      // f16 rounds a number by at most 2⁻¹¹ of it
      for (const [i, { score }] of found.entries())
        expect(Math.abs(score - (expected[i]?.score ?? 0))).toBeLessThan(1e-3);
    });

    test("filters by metadata", async () => {
      const index = await open({ dimension: 2 });
      await index.add(METADATA.map((metadata, i) => item(`${i}`, [1, i / 10], metadata)));
      for (const [filter, expected] of FILTERS) {
        const found = await index.search([1, 0], { filter });
        expect(found.map(({ id }) => Number(id)).sort(), JSON.stringify(filter)).toEqual(expected);
        // what stores without SQL do with the parsed metadata
        const met = [...METADATA.keys()].filter((i) => matches(parseFilter(filter), METADATA[i]));
        expect(met, JSON.stringify(filter)).toEqual(expected);
      }
      for (const [filter, message] of BAD_FILTERS) {
        const error = await failure(index.search([1, 0], { filter: filter as Filter }));
        expect(error.code, JSON.stringify(filter)).toBe("invalid-option");
        expect(error.message).toMatch(message);
      }
    });

    test("refuses bad items whole, and goes on", async () => {
      const index = await open({ dimension: 2 });
      await index.add(item("a", [1, 0]));
      const good = item("good", [0, 1]);
      const cases: [() => Promise<unknown>, string, RegExp][] = [
        [() => index.add([good, item("a", [0, 1])]), "duplicate-id", /has a already: use put/],
        [() => index.add([good, good]), "duplicate-id", /"good" occurs twice/],
        [() => index.put([good, good]), "duplicate-id", /occurs twice/],
        [() => index.update([item("b", [0, 1])]), "unknown-id", /has no b: use add/],
        [() => index.add([good, item("n", [Number.NaN, 1])]), "invalid-vector", /vector of n has no direction.*NaN/],
        [() => index.add([good, item("z", [0, 0])]), "invalid-vector", /vector of z has no direction.*0/],
        [() => index.add([good, item("w", [1, 2, 3])]), "shape-mismatch", /"w": expected 2 numbers.*got 3/],
        [() => index.add([good, { id: "t", text: "cat" }]), "invalid-option", /opened without a model/],
        [() => index.add([good, { id: "o" }]), "invalid-option", /expected one of vector, image and text, got none/],
        [() => index.add({ ...good, labels: 1 } as never), "invalid-option", /unknown field labels/],
        [() => index.add(item("", [1, 0])), "invalid-option", /id 0: expected a text that is not empty/],
        [() => index.add(item("\ud800", [1, 0])), "invalid-option", /well-formed/],
        [
          () => index.add({ ...good, metadata: { at: new Date(0) } } as never),
          "invalid-option",
          /metadata.at is a Date/,
        ],
        [() => index.add({ ...good, metadata: { n: Number.NaN } }), "invalid-option", /metadata.n is NaN/],
        [() => index.add(null as never), "invalid-option", /got null/],
        [() => index.search([1, 2, 3]), "shape-mismatch", /the query: expected 2 numbers.*got 3/],
        [() => index.search([0, 0]), "invalid-vector", /no direction/],
        [() => index.search("a boat"), "invalid-option", /without a model for a text/],
        [() => index.search({ id: "nobody" }), "unknown-id", /no item nobody/],
        [() => index.search({} as never), "invalid-option", /query: expected a text, a vector/],
        [() => index.search([1, 0], { k: 0 }), "invalid-option", /k: expected a whole number above 0/],
        [() => index.search([1, 0], { limit: 5 } as never), "invalid-option", /unknown option limit/],
        [() => index.vectors(["nobody"]), "unknown-id", /nobody/],
      ];
      for (const [call, code, message] of cases) {
        const error = await failure(call());
        expect(error.message).toMatch(message);
        expect(error.code, error.message).toBe(code);
      }
      expect(await ids(index)).toEqual(["a"]);
      await index.add(good);
      expect((await index.search([0, 1], { k: 1 }))[0]?.id).toBe("good");
    });

    test("finds near-duplicates and clusters, reports progress and stops", async () => {
      const index = await open({ dimension: 16 });
      expect(await index.duplicates()).toEqual([]);
      const random = seeded(3);
      const centre = Array.from({ length: 3 }, () => Array.from({ length: 16 }, () => random() - 0.5));
      const near = (i: number, by: number) => (centre[i] ?? []).map((x) => x + by * (random() - 0.5));
      const items = Array.from({ length: 90 }, (_, i) => item(`${i}`, near(i % 3, 0.3)));
      items.push(item("90", items[7]?.vector as number[]), item("91", items[7]?.vector as number[]));
      items.push(item("92", items[20]?.vector as number[]));
      await index.add(items);
      const shares: number[] = [];
      const groups = await index.duplicates({ threshold: 0.9995, onProgress: (share) => shares.push(share) });
      expect(groups.map((group) => group.map(({ id }) => id))).toEqual([
        ["7", "90", "91"],
        ["20", "92"],
      ]);
      expect(shares.at(-1)).toBe(1);
      await index.delete(["90", "92"]);
      expect((await index.duplicates({ threshold: 0.9995 })).map((group) => group.map(({ id }) => id))).toEqual([
        ["7", "91"],
      ]);

      const clusters = await index.clusters({ k: 3, seed: 1 });
      expect(clusters.flatMap(({ ids }) => ids)).toHaveLength(91);
      for (const { ids, centroid, name } of clusters) {
        expect(new Set(ids.filter((id) => Number(id) < 90).map((id) => Number(id) % 3)).size).toBe(1);
        expect(Math.hypot(...centroid)).toBeCloseTo(1, 3);
        expect(name).toBeUndefined();
      }
      expect(await index.clusters({ k: 3, seed: 1 })).toEqual(clusters);
      expect((await failure(index.clusters({ k: 500 }))).message).toMatch(/k: expected 1 to 91/);

      const stop = new AbortController();
      const stopped = index.clusters({ k: 3, iterations: 1000, signal: stop.signal, onProgress: () => stop.abort() });
      expect((await failure(stopped)).code).toBe("aborted");
      expect((await failure(index.duplicates({ threshold: 2 }))).code).toBe("invalid-option");
      expect((await failure(index.clusters({} as never))).message).toMatch(/k/);
      expect((await failure(index.clusters({ k: 2, words: ["a"] }))).message).toMatch(/without a model for words/);
    });

    test("keeps ids and metadata of any characters", async () => {
      const index = await open({ dimension: 2 });
      const odd = ["'; DROP TABLE items; --", "日本語/ファイル.jpg", "a\nb", "🛶", "%_?", "\ufeffmark"];
      const metadata: Metadata = {
        "quo\"te'": "\u0000\ud800 \\ 🛶",
        list: [1, [2, { deep: null }]],
        big: 1e300,
        tiny: -5e-324,
      };
      await index.add(odd.map((id, i) => item(id, [1, i], metadata)));
      expect(await ids(index)).toEqual([...odd].sort());
      for (const id of odd) expect((await index.get(id))?.metadata).toEqual(metadata);
      expect(await index.delete(odd)).toBe(odd.length);
      expect(await index.search([1, 0])).toEqual([]);
    });
  });
}
