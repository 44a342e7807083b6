/** The module of index-wasm where memory ends: an error, and what was there before is found. */

import { expect, test } from "vitest";
import { isClipError } from "../../workers/protocol/error.js";
import { loadIndexWasm } from "../../workers/runtime/index-wasm.js";
import { read } from "../support";

const DIMENSION = 512;
const PAGE = 2 ** 16;

/** Unsigned LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}

/** Reads an unsigned LEB128, and where it ends. */
function readLeb(bytes: Uint8Array, at: number): [value: number, end: number] {
  const byte = bytes[at] ?? 0;
  if (byte < 128) return [byte, at + 1];
  const [rest, end] = readLeb(bytes, at + 1);
  return [(byte & 127) + 128 * rest, end];
}

/** The module with a limit of its memory, which its memory section then has after the initial size. */
function limited(module: Uint8Array<ArrayBuffer>, pages: number): Uint8Array<ArrayBuffer> {
  for (let at = 8; at < module.length; ) {
    const [size, begin] = readLeb(module, at + 1);
    if (module[at] === 5) {
      const [initial] = readLeb(module, begin + 2);
      const section = [1, 1, ...leb(initial), ...leb(pages)];
      return new Uint8Array([
        ...module.subarray(0, at),
        5,
        section.length,
        ...section,
        ...module.subarray(begin + size),
      ]);
    }
    at = begin + size;
  }
  throw new Error("the module has no memory");
}

test("vectors that do not fit are refused whole, and those that are there stay", async () => {
  const { wasm, memory } = await loadIndexWasm(limited(await read("workers/wasm/index_bg.wasm"), 256));
  const codec = new wasm.VectorCodec(DIMENSION, "f32");
  const vectors = new wasm.Vectors(DIMENSION, "f32");
  const values = Float32Array.from({ length: 100 * DIMENSION }, (_, i) => Math.sin(i * i));
  const rows = codec.encode(values);
  const failures: unknown[] = [];
  let first = 0;
  for (; failures.length === 0 && first < 20_000; first += 100) {
    const slots = Uint32Array.from({ length: 100 }, (_, i) => first + i);
    try {
      vectors.put(slots, rows);
    } catch (error) {
      failures.push(error);
    }
  }
  expect(isClipError(failures[0])).toBe(true);
  expect(failures[0]).toMatchObject({ code: "out-of-memory", message: expect.stringContaining("as they were") });
  const count = vectors.length;
  expect(count).toBe(first - 100);
  // 16 MiB hold 8,000 of 2 kB, less the module's own and a block
  expect(count).toBeGreaterThan(6_500);
  expect(memory.buffer.byteLength).toBeLessThanOrEqual(256 * PAGE);

  // it is tried again and again, and everything else goes on
  const far = new Uint32Array([4_000_000_000]);
  for (let i = 0; i < 1_000; i++)
    expect(() => vectors.put(far, rows.subarray(0, 4 * DIMENSION))).toThrow("out of memory");
  expect(vectors.length).toBe(count);
  const query = values.subarray(7 * DIMENSION, 8 * DIMENSION);
  const { slots, scores } = vectors.search(query, 5);
  expect(Array.from(slots)).toEqual([7, 107, 207, 307, 407]);
  expect(scores[0]).toBeCloseTo(1, 5);
  expect(Array.from(vectors.scores(query, new Uint32Array([107])))[0]).toBe(scores[0]);

  // a removed row leaves its place
  vectors.remove(new Uint32Array([107]));
  vectors.put(new Uint32Array([107]), rows.subarray(0, 4 * DIMENSION));
  expect(Array.from(vectors.search(query, 2).slots)).toEqual([7, 207]);
  vectors.free();
  const again = new wasm.Vectors(DIMENSION, "f32");
  again.put(
    Uint32Array.from({ length: 100 }, (_, i) => i),
    rows,
  );
  expect(again.length).toBe(100);
});
