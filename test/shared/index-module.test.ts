/** The module of index-wasm through its glue: what the index's worker asks of it, and what it refuses. */

import { beforeAll, describe, expect, test } from "vitest";
import { isClipError } from "../../workers/protocol/error.js";
// not part of the API: the index's worker has it
import { type IndexWasm, loadIndexWasm, type Storage, type Vectors } from "../../workers/runtime/index-wasm.js";
import { read, sameBytes } from "../support";

const STORAGES: Storage[] = ["f32", "f16", "int8"];
const DIMENSION = 37;

let wasm: IndexWasm;
let memory: WebAssembly.Memory;

beforeAll(async () => {
  ({ wasm, memory } = await loadIndexWasm(await read("workers/wasm/index_bg.wasm")));
});

/** The same numbers each time, between -1 and 1. */
function randomVectors(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count * DIMENSION }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}

const vectorOf = (vectors: Float32Array, i: number) => vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION);
const firstSlots = (count: number) => Uint32Array.from({ length: count }, (_, slot) => slot);

function vectorsOf(storage: Storage, values: Float32Array): Vectors {
  const vectors = new wasm.Vectors(DIMENSION, storage);
  const rows = new wasm.VectorCodec(DIMENSION, storage).encode(values);
  vectors.put(firstSlots(values.length / DIMENSION), rows);
  return vectors;
}

/** Slots by their cosine similarity to a query, the best first. */
function ranked(values: Float32Array, query: Float32Array): { slot: number; score: number }[] {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? Number.NaN), 0);
  const cosine = (a: Float32Array, b: Float32Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  return Array.from({ length: values.length / DIMENSION }, (_, slot) => ({
    slot,
    score: cosine(vectorOf(values, slot), query),
  })).sort((a, b) => b.score - a.score);
}

function failure(use: () => unknown): { code: string; message: string } {
  try {
    use();
  } catch (error) {
    if (isClipError(error)) return error;
    throw error;
  }
  throw new Error("expected an error, got none");
}

describe.each(STORAGES)("vectors as %s", (storage) => {
  const values = randomVectors(500);
  const queries = values.subarray(0, 3 * DIMENSION);

  test("are found as a plain scan of their values finds them, for one query and for many", () => {
    const codec = new wasm.VectorCodec(DIMENSION, storage);
    const vectors = vectorsOf(storage, values);
    expect([vectors.length, vectors.rowBytes]).toEqual([500, codec.rowBytes]);
    const stored = codec.decode(codec.encode(values));
    const hits = vectors.search(queries, 10);
    for (let i = 0; i < 3; i++) {
      const query = vectorOf(values, i);
      const expected = ranked(stored, query).slice(0, 10);
      const slots = hits.slots.subarray(10 * i, 10 * i + 10);
      expect(Array.from(slots)).toEqual(expected.map(({ slot }) => slot));
      const scores = hits.scores.subarray(10 * i, 10 * i + 10);
      for (const [j, { score }] of expected.entries()) expect(scores[j]).toBeCloseTo(score, 3);
      expect(vectors.search(query, 10)).toEqual({ slots, scores });
      expect(vectors.scores(query, slots)).toEqual(scores);
      expect(codec.scores(query, vectors.get(slots))).toEqual(scores);
    }
    vectors.free();
    codec.free();
  });

  test("come back byte by byte, are replaced and removed", () => {
    const codec = new wasm.VectorCodec(DIMENSION, storage);
    const vectors = vectorsOf(storage, values);
    expect(sameBytes(vectors.get(firstSlots(500)), codec.encode(values))).toBe(true);
    expect(vectors.remove(new Uint32Array([7, 499, 499, 90_000]))).toBe(2);
    vectors.put(new Uint32Array([7, 8]), codec.encode(randomVectors(2, 5)));
    expect(vectors.length).toBe(499);
    expect(sameBytes(vectors.get(new Uint32Array([8, 7])), codec.encode(randomVectors(2, 5)))).toBe(false);
    expect(sameBytes(vectors.get(new Uint32Array([7, 8])), codec.encode(randomVectors(2, 5)))).toBe(true);
    expect(vectors.search(vectorOf(values, 499), 500).slots).not.toContain(499);
    expect(failure(() => vectors.get(new Uint32Array([1, 499])))).toMatchObject({
      code: "invalid-option",
      message: "slot 499 holds no vector: it was removed, or never filled",
    });
    vectors.free();
  });

  test("are searched among those that are allowed", () => {
    const vectors = vectorsOf(storage, values);
    const allowed = new Uint8Array(40);
    const slots = [3, 8, 64, 255, 256, 319];
    for (const slot of slots) allowed[slot >> 3] = (allowed[slot >> 3] ?? 0) | (1 << (slot & 7));
    const hits = vectors.search(queries, 100, allowed);
    expect(hits.slots.length).toBe(3 * slots.length);
    for (let i = 0; i < 3; i++)
      expect(Array.from(hits.slots.subarray(6 * i, 6 * i + 6)).sort((a, b) => a - b)).toEqual(slots);
    expect(vectors.search(queries, 100, new Uint8Array())).toEqual({
      slots: new Uint32Array(),
      scores: new Float32Array(),
    });
    vectors.free();
  });
});

test("near-duplicates are grouped in steps, and vectors clustered", () => {
  // 90 vectors near each of 30
  const [centres, noise] = [randomVectors(30), randomVectors(2_700, 3)];
  const values = noise.map((x, i) => (centres[i % centres.length] as number) + 0.02 * x);
  const vectors = vectorsOf("int8", values);
  const duplicates = new wasm.Duplicates(vectors, 0.98);
  const shares = [0];
  while (shares.at(-1) !== 1) shares.push(duplicates.step(vectors));
  expect(shares).toEqual([...new Set(shares)].sort((a, b) => a - b));
  expect(shares.length).toBeGreaterThan(2_700 / 64);
  const { slots, ends } = duplicates.groups(vectors);
  expect(Array.from(ends)).toEqual(Array.from({ length: 30 }, (_, i) => 90 * (i + 1)));
  expect(Array.from(slots)).toEqual(Array.from({ length: 2_700 }, (_, i) => Math.floor(i / 90) + 30 * (i % 90)));

  const clusters = new wasm.Clusters(vectors, 30, 20, 1);
  while (clusters.step(vectors) < 1);
  const { labels, centroids, ...clustered } = clusters.clustering(vectors);
  expect(clustered.slots).toEqual(firstSlots(2_700));
  expect(new Set(labels).size).toBe(30);
  for (let i = 30; i < 2_700; i++) expect(labels[i]).toBe(labels[i % 30]);
  const nearest = vectors.search(centroids, 1).slots;
  for (const [label, slot] of nearest.entries()) expect(labels[slot]).toBe(label);
  for (const object of [clusters, duplicates, vectors]) object.free();
});

test("bad input is refused by a code, and changes nothing", () => {
  const values = randomVectors(3);
  const vectors = vectorsOf("int8", values);
  const codec = new wasm.VectorCodec(DIMENSION, "int8");
  const rows = codec.encode(values);
  const bad = values.slice();
  bad[2 * DIMENSION + 5] = Number.NaN;
  const zeros = values.slice().fill(0, DIMENSION, 2 * DIMENSION);
  const damaged = rows.slice().fill(0, DIMENSION, 2 * DIMENSION);
  const cases: [() => unknown, string, RegExp][] = [
    [() => new wasm.Vectors(0, "f32"), "invalid-option", /dimension: expected 1 to 65536, got 0/],
    [() => new wasm.Vectors(8, "i8" as Storage), "invalid-option", /storage: expected f32, f16 or int8, got "i8"/],
    [() => codec.encode(bad), "invalid-vector", /vector 2 .*NaN/],
    [() => codec.encode(zeros), "invalid-vector", /vector 1 .*are 0/],
    [() => codec.encode(values.subarray(1)), "shape-mismatch", /multiple of 37, got 110/],
    [() => codec.decode(damaged), "index-damaged", /stored vector 1 /],
    [() => codec.scores(vectorOf(values, 0), rows.subarray(1)), "shape-mismatch", /multiple of 37/],
    [() => vectors.put(firstSlots(2), rows), "shape-mismatch", /2 rows of 37 bytes, one a slot, got 3/],
    [() => vectors.put(firstSlots(3), rows.subarray(1)), "shape-mismatch", /multiple of 37, got 110/],
    [() => vectors.search(vectorOf(values, 0), 0), "invalid-option", /k: expected at least 1/],
    [() => vectors.search(bad, 1), "invalid-vector", /vector 2/],
    [() => vectors.search(new Float32Array(), 1), "shape-mismatch", /multiple of 37, got 0/],
    [() => new wasm.Duplicates(vectors, 1.5), "invalid-option", /threshold: expected above 0, at most 1, got 1.5/],
    [() => new wasm.Clusters(vectors, 4, 10, 1), "invalid-option", /k: expected 1 to 3, the number of vectors, got 4/],
    [() => vectors.scores(values, firstSlots(1)), "shape-mismatch", /query: expected 37, got 111/],
    [() => vectors.scores(vectorOf(values, 0), new Uint32Array([3])), "invalid-option", /slot 3 holds no vector/],
  ];
  for (const [use, code, message] of cases)
    expect(failure(use)).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(sameBytes(vectors.get(firstSlots(3)), rows)).toBe(true);
  vectors.free();
});

test("a damaged row is named; those before it are there, and its slot is empty", () => {
  const vectors = vectorsOf("f16", randomVectors(3));
  const rows = new wasm.VectorCodec(DIMENSION, "f16").encode(randomVectors(3, 9));
  rows.fill(255, vectors.rowBytes, 2 * vectors.rowBytes);
  expect(failure(() => vectors.put(firstSlots(3), rows))).toMatchObject({ code: "index-damaged" });
  expect(vectors.length).toBe(2);
  expect(sameBytes(vectors.get(new Uint32Array([0])), rows.subarray(0, vectors.rowBytes))).toBe(true);
  vectors.free();
});

test("memory grows by the rows and little more, and is used again", () => {
  const count = 100_000;
  const before = memory.buffer.byteLength;
  const rows = new Uint8Array(1_000 * DIMENSION).fill(127);
  const fill = () => {
    const vectors = new wasm.Vectors(DIMENSION, "int8");
    for (let first = 0; first < count; first += 1_000)
      vectors.put(
        firstSlots(1_000).map((slot) => slot + first),
        rows,
      );
    return vectors;
  };
  const vectors = fill();
  const grown = memory.buffer.byteLength - before;
  // rows end at a multiple of 16 bytes, and have a scale and a bit
  const needed = count * (48 + 4 + 1 / 8);
  expect(vectors.bytes).toBeLessThan(needed + 2 ** 20);
  expect(grown).toBeLessThan(needed + 2 * 2 ** 20);
  vectors.free();
  fill().free();
  expect(memory.buffer.byteLength - before).toBe(grown);
});
