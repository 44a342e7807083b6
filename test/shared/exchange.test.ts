/** Embeddings in clip-retrieval's layout: what is exported is imported again, and what cannot be used is refused by name. */

import { VectorIndex } from "clipwright/search";
import { describe, expect, test } from "vitest";
import { type ExportOptions, exportFiles } from "../../ts/exchange/export.js";
import { fromHalf, toHalf } from "../../ts/exchange/half.js";
import { type ReadOptions, readEmbeddings } from "../../ts/exchange/import.js";
import { writeParquet } from "../../ts/exchange/parquet-writer.js";
import type { EmbeddingRow } from "../../ts/exchange/row.js";
import type { ExportedFile } from "../../workers/protocol/api.js";
import type { ClipErrorCode } from "../../workers/protocol/error.js";
import type { Metadata } from "../../workers/protocol/index-data.js";
import { fixture, json, maxError } from "../support.js";

/** A unit vector that differs by seed. */
function direction(dimension: number, seed: number): Float32Array {
  const values = Float32Array.from({ length: dimension }, (_, i) => Math.sin(1 + seed * 7.1 + i * (seed + 1.3)));
  const norm = Math.hypot(...values);
  return values.map((value) => value / norm);
}

const ROWS: EmbeddingRow[] = [
  { album: "beach", year: 2024, tags: ["sun", "sea"], rating: 4.5, exif: { place: { lat: -1.5 } }, seen: true },
  { album: "città 🏖", year: 2025, rating: 3, mixed: 1, nothing: null, seen: false },
  { mixed: "one", half: "\ud800", negative: -0, "": "no name", "a.b": 9_007_199_254_740_991 },
  { __proto__: null, constructor: "own", toString: "own", big: 1e300 },
  undefined,
].map((metadata, i) => ({
  id: ["a.jpg", "b ü/…/🙂.png", "\ufeffc", "0", 'quote"d'][i] as string,
  vector: direction(8, i),
  ...(metadata && { metadata: JSON.parse(JSON.stringify(metadata)) as Metadata }),
}));

async function* each<T>(items: readonly T[]) {
  yield* items;
}

/** Exports rows. */
async function files(rows: readonly EmbeddingRow[], options?: ExportOptions & { model?: string; count?: number }) {
  const { model, count = rows.length, ...rest } = options ?? {};
  const all = { count, dimension: 8, ...(model && { model }), rows: () => each(rows) };
  const metadata = each(rows.map(({ metadata }) => metadata));
  const found: ExportedFile[] = [];
  for await (const file of exportFiles(all, metadata, rest)) found.push(file);
  return found;
}

const picked = (files: readonly ExportedFile[]) =>
  files.map(({ name, data }) => {
    const file = new File([data], name.slice(name.lastIndexOf("/") + 1));
    Object.defineProperty(file, "webkitRelativePath", { value: `picked/${name}` });
    return file;
  });

/** Imports files. */
async function read(files: readonly ExportedFile[], options?: ReadOptions) {
  const { rows, ...rest } = await readEmbeddings(picked(files), options);
  const found: EmbeddingRow[] = [];
  for await (const row of rows()) found.push(row);
  return { ...rest, rows: found };
}

const refused = (code: ClipErrorCode, message: string | RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe("halves", () => {
  const bits = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);

  test("each is rounded to itself", () => {
    const again = new Uint16Array(bits.length);
    toHalf(fromHalf(bits), again);
    const other = bits.filter((half, i) => half !== again[i]);
    // NaN has many bit patterns
    expect(other.every((half) => (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0)).toBe(true);
  });

  test("numbers between are rounded to the nearest, ties to the even one", () => {
    const values = fromHalf(bits.subarray(0, 0x7c00));
    const got = new Uint16Array(1);
    const wrong: number[] = [];
    for (let i = 0; i + 1 < values.length; i++) {
      const [low, high] = [values[i] as number, values[i + 1] as number];
      const tie = low + (high - low) / 2;
      const step = tie * 2 ** -20;
      for (const [value, expected] of [
        [tie, i + (i & 1)],
        [tie - step, i],
        [tie + step, i + 1],
      ] as const) {
        toHalf(Float32Array.of(-value), got);
        if (got[0] !== (expected | 0x8000)) wrong.push(value);
      }
    }
    expect(wrong).toEqual([]);
    toHalf(Float32Array.of(65519), got);
    expect(got[0]).toBe(0x7bff);
    toHalf(Float32Array.of(65520), got);
    expect(got[0]).toBe(0x7c00);
  });
});

describe("what is exported", () => {
  test.each(["float16", "float32"] as const)("is imported again, in %s", async (dtype) => {
    const { count, dimension, model, rows } = await read(await files(ROWS, { dtype, model: "sha256:1" }));
    expect({ count, dimension, model }).toEqual({ count: 5, dimension: 8, model: "sha256:1" });
    expect(rows.map(({ id, metadata }) => ({ id, metadata }))).toEqual(
      ROWS.map(({ id, metadata }) => ({ id, metadata })),
    );
    for (const [i, { vector }] of rows.entries())
      expect(maxError(vector, ROWS[i]?.vector as Float32Array)).toBeLessThanOrEqual(dtype === "float16" ? 2 ** -12 : 0);
  });

  test("has clip-retrieval's names, with digits that sort", async () => {
    const many = Array.from({ length: 21 }, (_, i) => ({ id: `${i}`, vector: direction(8, i), metadata: { i } }));
    const found = await files(many, { rowsPerFile: 2 });
    const names = found.map(({ name }) => name);
    expect(names.slice(0, 3)).toEqual([
      "img_emb/img_emb_00.npy",
      "metadata/metadata_00.parquet",
      "img_emb/img_emb_01.npy",
    ]);
    expect(names.slice(-2)).toEqual(["img_emb/img_emb_10.npy", "metadata/metadata_10.parquet"]);
    const { rows } = await read(found.toReversed());
    expect(rows.map(({ id }) => id)).toEqual(many.map(({ id }) => id));
    expect(rows.map(({ metadata }) => metadata?.i)).toEqual(many.map((_, i) => i));
    expect((await files(many)).map(({ name }) => name)).toEqual([
      "img_emb/img_emb_0.npy",
      "metadata/metadata_0.parquet",
    ]);
  });

  test("an empty index is imported again", async () => {
    expect(await read(await files([]))).toEqual({ count: 0, dimension: 8, rows: [] });
  });

  test("keys like the column of the ids stay", async () => {
    const rows = [
      { id: "x", vector: direction(8, 1), metadata: { image_path: "photos/x.jpg", id: 7, image_path_2: 1 } },
    ];
    expect((await read(await files(rows))).rows[0]).toMatchObject({ id: "x", metadata: rows[0]?.metadata });
  });

  test("more keys than a table has columns stay", async () => {
    const metadata = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`key ${i}`, i]));
    const rows = [{ id: "x", vector: direction(8, 1), metadata }];
    expect((await read(await files(rows))).rows[0]?.metadata).toEqual(metadata);
  });

  test("many rows, in several groups and pages", async () => {
    const text = "a text that repeats and changes ".repeat(20);
    const rows = Array.from({ length: 40_000 }, (_, i) => ({
      id: `photo ${i}`,
      vector: direction(8, i % 97),
      metadata: { n: i, ...(i % 3 && { note: `${text}${i}` }) },
    }));
    const again = await read(await files(rows, { dtype: "float32" }));
    expect(again.count).toBe(40_000);
    const differs = again.rows.findIndex(
      ({ id, metadata }, i) => id !== rows[i]?.id || JSON.stringify(metadata) !== JSON.stringify(rows[i]?.metadata),
    );
    expect(differs).toBe(-1);
  });

  test("an index that changes meanwhile is refused", async () => {
    for (const count of [4, 6])
      await expect(files(ROWS, { count, rowsPerFile: 2 })).rejects.toEqual(refused("count-mismatch", "index changed"));
    await expect(files([{ id: "short", vector: direction(7, 1) }])).rejects.toEqual(
      refused("shape-mismatch", "short: expected 8 values, got 7"),
    );
  });
});

describe("what others wrote", async () => {
  const expected = await json("embeddings/expected.json");
  const folder = async (name: string): Promise<ExportedFile[]> =>
    Promise.all(
      (expected[name].files as string[]).map(async (file) => ({
        name: file,
        data: await fixture(`embeddings/${expected[name].folder}/${file}`),
      })),
    );

  test.each(Object.keys(expected))("%s", async (name) => {
    const { options, error, rows } = expected[name];
    const reading = read(await folder(name), options ?? {});
    if (error) return expect(reading).rejects.toEqual(refused("invalid-dataset", error));
    const got = await reading;
    expect(got.rows.map(({ id, metadata = null }) => ({ id, metadata }))).toEqual(
      rows.map(({ id, metadata }: EmbeddingRow) => ({ id, metadata })),
    );
    for (const [i, { vector }] of got.rows.entries()) expect([...vector]).toEqual(rows[i].vector);
  });
});

describe("what cannot be used is refused by name", async () => {
  const good = await files(ROWS, { rowsPerFile: 3, dtype: "float32" });
  const bytesOf = (name: string) => good.find((file) => file.name === name)?.data as Uint8Array<ArrayBuffer>;
  const npy = bytesOf("img_emb/img_emb_0.npy");
  const table = bytesOf("metadata/metadata_0.parquet");
  const change = (name: string, data: Uint8Array<ArrayBuffer> | undefined) => [
    ...good.filter((file) => file.name !== name),
    ...(data ? [{ name, data }] : []),
  ];
  const changed = (bytes: Uint8Array<ArrayBuffer>, at: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, at < 0 ? copy.length + at : at);
    return copy;
  };
  const header = (text: string, values = 3 * 8 * 4) => {
    const bytes = new Uint8Array(10 + text.length + values).fill(1);
    bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length & 255, text.length >> 8]);
    bytes.set(new TextEncoder().encode(text), 10);
    return bytes;
  };
  const first = (data: Uint8Array<ArrayBuffer> | undefined) => change("img_emb/img_emb_0.npy", data);
  const firstTable = (data: Uint8Array<ArrayBuffer> | undefined) => change("metadata/metadata_0.parquet", data);
  const strings = (name: string, ...values: (string | undefined)[]) =>
    writeParquet(values.length, [{ name, type: "STRING", values }], {});

  const CASES: [string, ExportedFile[], RegExp][] = [
    ["no files", [], /no img_emb\/img_emb_0\.npy$/],
    ["a folder above", good.map(({ name, data }) => ({ name: `out/${name}`, data })), /pass its folder out$/],
    [
      "texts",
      good.map(({ name, data }) => ({ name: name.replaceAll("img_", "text_"), data })),
      /pass \{ embeddings: "text" \}$/,
    ],
    ["no table", firstTable(undefined), /^img_emb\/img_emb_0\.npy: there is no metadata\/\*_0\.parquet/],
    ["no vectors", first(undefined), /^metadata\/metadata_0\.parquet: there is no img_emb\/\*_0\.npy/],
    [
      "a foreign name",
      change("img_emb/x.npy", npy),
      /^img_emb\/x\.npy: expected a name such as img_emb\/img_emb_0\.npy$/,
    ],
    ["a number twice", change("img_emb/img_emb_00.npy", npy), /has the number of img_emb\/img_emb_0/],
    ["no array", first(table), /^img_emb\/img_emb_0\.npy: expected an array of NumPy/],
    ["an empty array", first(new Uint8Array()), /expected an array of NumPy/],
    ["a cut array", first(npy.slice(0, -1)), /expected 224 bytes for 3 × 8 f4, got 223: it was cut off/],
    ["bytes after the rows", first(changed(new Uint8Array([...npy, 0]), 0, 0x93)), /the rest belongs to no row/],
    ["a cut header", first(npy.slice(0, 100)), /ends within the header/],
    ["a new format", first(changed(npy, 6, 9)), /format 9 of NumPy/],
    ["a long header", first(changed(npy, 8, 0xff, 0xff)), /header has 65535 bytes, over 10000/],
    ["NaN", first(changed(npy, -4, 0, 0, 0xc0, 0x7f)), /^img_emb\/img_emb_0\.npy: row 2 contains NaN$/],
    ["infinity", first(changed(npy, 128 + 32, 0, 0, 0x80, 0x7f)), /row 1 contains infinite/],
    ["a zero row", first(changed(npy, 128, ...new Array(32).fill(0))), /row 0 is zero/],
    [
      "integers",
      first(header("{'descr': '<i8', 'fortran_order': False, 'shape': (3, 8), }")),
      /got the type <i8: save array\.astype/,
    ],
    ["records", first(header("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3, 8), }")), /got records/],
    ["columns", first(header("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 8), }")), /ascontiguousarray/],
    [
      "three axes",
      first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 4), }")),
      /the shape \(3, 2, 4\)/,
    ],
    ["one axis", first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (24,), }")), /the shape \(24,\)/],
    [
      "no values",
      first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }", 0)),
      /rows of 1 to 65536 values, got 0/,
    ],
    [
      "rows without end",
      first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 8), }")),
      /it was cut off/,
    ],
    ["a damaged header", first(header("{'descr': '<f4', 'shape': (3, 8), }")), /header of the array is damaged/],
    [
      "other rows",
      first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }", 64)),
      /^metadata\/metadata_0\.parquet: expected 2 rows, as img_emb\/img_emb_0\.npy has, got 3$/,
    ],
    [
      "another dimension",
      first(header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", 48)),
      /^img_emb\/img_emb_1\.npy: expected rows of 4 values, as img_emb\/img_emb_0\.npy has, got 8$/,
    ],
    [
      "no table but an array",
      firstTable(npy),
      /^metadata\/metadata_0\.parquet: it is no Parquet file, or was cut off$/,
    ],
    ["a cut table", firstTable(table.slice(0, -1)), /no Parquet file, or was cut off/],
    ["an empty table", firstTable(new Uint8Array()), /no Parquet file, or was cut off/],
    ["an encrypted table", firstTable(changed(table, -4, 80, 65, 82, 69)), /the table is encrypted/],
    [
      "a description beyond the file",
      firstTable(changed(table, -8, 0xff, 0xff, 0xff, 3)),
      /^metadata\/metadata_0\.parquet: /,
    ],
    ["a long description", firstTable(changed(table, -8, 0xff, 0xff, 0xff, 0x7f)), /description has 2147483647 bytes/],
    [
      "another column of ids",
      firstTable(strings("url", "a", "b", "c")),
      /no column image_path, but url; name that of the ids in ids/,
    ],
    [
      "a row without id",
      firstTable(strings("image_path", "a", undefined, "c")),
      /^metadata\/metadata_0\.parquet, row 1: expected a text or a number as id, got none$/,
    ],
    [
      "a newer export",
      firstTable(
        writeParquet(3, [{ name: "image_path", type: "STRING", values: ["a", "b", "c"] }], {
          clipwright: '{"version":2,"id":"x"}',
        }),
      ),
      /newer version of clipwright/,
    ],
    [
      "a damaged note",
      firstTable(
        writeParquet(3, [{ name: "image_path", type: "STRING", values: ["a", "b", "c"] }], { clipwright: "null" }),
      ),
      /noted is damaged/,
    ],
    [
      "another model",
      firstTable(
        writeParquet(3, [{ name: "x", type: "STRING", values: ["a", "b", "c"] }], {
          clipwright: '{"version":1,"id":"x","model":"m"}',
        }),
      ),
      /another model made these/,
    ],
  ];

  test.each(CASES)("%s", async (_, files, message) => {
    await expect(read(files)).rejects.toEqual(refused("invalid-dataset", message));
  });

  test("a column that is asked for and not there", async () => {
    await expect(read(good, { columns: ["colour"] })).rejects.toEqual(
      refused("invalid-dataset", /no column colour, but image_path, album/),
    );
    await expect(read(good, { ids: "colour" })).rejects.toEqual(refused("invalid-dataset", /no column colour/));
  });

  test("a damaged description is an error of the file, at whichever byte", async () => {
    const length = new DataView(table.buffer, table.byteOffset).getUint32(table.length - 8, true);
    for (let at = table.length - 8 - length; at < table.length - 8; at++) {
      const damaged = firstTable(changed(table, at, (table[at] as number) ^ 0xff));
      const error = await read(damaged).then(
        () => undefined,
        (error) => error,
      );
      // a byte that nothing depends on may differ
      if (error) expect(error).toEqual(refused("invalid-dataset", /^metadata\/metadata_[01]/));
    }
  });
});

test("rows are numbered, and columns chosen, as asked", async () => {
  const good = await files(ROWS, { rowsPerFile: 2 });
  const numbered = await read(good, { ids: null, columns: ["album", "image_path"] });
  expect(numbered.rows.map(({ id }) => id)).toEqual(["0", "1", "2", "3", "4"]);
  expect(numbered.rows[0]?.metadata).toEqual({ album: "beach", image_path: "a.jpg" });
  expect((await read(good, { columns: [] })).rows[0]).toEqual({ id: "a.jpg", vector: expect.any(Float32Array) });
});

test("an index is exported, and imported into another", async () => {
  const from = await VectorIndex.inMemory({ dimension: 8, storage: "f32", model: "mine" });
  await from.add(ROWS);
  const found: ExportedFile[] = [];
  for await (const file of from.exportFiles({ dtype: "float32", rowsPerFile: 2 })) found.push(file);
  const to = await VectorIndex.inMemory({ dimension: 8, storage: "f32", model: "mine" });
  expect(await to.importFiles(picked(found))).toBe(5);
  const again = [];
  for await (const item of to.items()) again.push(item);
  expect(again).toEqual(ROWS.map(({ id, metadata }) => ({ id, metadata })));
  const ids = ROWS.map(({ id }) => id);
  expect(maxError((await to.vectors(ids)).data, (await from.vectors(ids)).data)).toBeLessThanOrEqual(2 ** -23);

  await expect(to.importFiles(picked(found))).rejects.toEqual(refused("duplicate-id", "a.jpg"));
  await to.put({ id: 'quote"d', vector: direction(8, 1), metadata: { old: true } });
  expect(await to.importFiles(picked(found), { existing: "replace" })).toBe(5);
  expect(await to.get('quote"d')).toEqual({ id: 'quote"d', metadata: undefined });
  expect(await to.size()).toBe(5);

  const others = await VectorIndex.inMemory({ dimension: 8, model: "yours" });
  await expect(others.importFiles(picked(found))).rejects.toEqual(refused("wrong-model", '"yours", not "mine"'));
  const short = await VectorIndex.inMemory({ dimension: 4 });
  await expect(short.importFiles(picked(found))).rejects.toEqual(refused("shape-mismatch", "vectors of 8 numbers"));
  await expect(short.importFiles(picked(found), { ids: 1 as never })).rejects.toEqual(refused("invalid-option", "ids"));
  await expect(from.exportFiles({ dtype: "float64" as never }).next()).rejects.toEqual(
    refused("invalid-option", "float16 or float32"),
  );
  for (const index of [from, to, others, short]) await index.close();
});
