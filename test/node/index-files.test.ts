/** Files of indexes that are damaged, newer, of other programs or in use: an error that says so, and nothing overwritten. */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VectorIndex } from "clipwright/search";
import Database from "libsql";
import { afterAll, expect, test } from "vitest";
import { failure } from "../support";

const folder = mkdtempSync(join(tmpdir(), "clipwright-index-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
const fresh = () => join(folder, `${count++}.sqlite`);

/** Makes an index of some items; returns its path. */
async function made(items = 300): Promise<string> {
  const path = fresh();
  const index = await VectorIndex.open({ path }, { dimension: 64 });
  const vector = (i: number) => Float32Array.from({ length: 64 }, (_, j) => Math.sin(i * j + 1));
  await index.add(Array.from({ length: items }, (_, i) => ({ id: `${i}`, vector: vector(i), metadata: { i } })));
  await index.close();
  return path;
}

/** Opens a file of an index without clipwright. */
function raw(path: string): InstanceType<typeof Database> {
  const database = new Database(path);
  // the worker of a closed index may be ending still
  database.exec("PRAGMA busy_timeout = 10000");
  return database;
}

const open = (path: string) => VectorIndex.open({ path }, { dimension: 64 });

test.each([
  ["a text", Buffer.from("no database ".repeat(5000))],
  ["a PNG", Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47]), Buffer.alloc(5000)])],
])("%s is no index, and stays as it is", async (_, bytes) => {
  const path = fresh();
  writeFileSync(path, bytes);
  const error = await failure(open(path));
  expect(error.code).toBe("index-damaged");
  expect((await failure(VectorIndex.delete({ path }))).message).toMatch(
    /does not look like an index: delete the file yourself/,
  );
  expect(readFileSync(path).equals(bytes)).toBe(true);
});

test("a database of another program is refused, and stays as it is", async () => {
  const path = fresh();
  const database = new Database(path);
  database.exec("CREATE TABLE other (a); INSERT INTO other VALUES (1)");
  database.close();
  const error = await failure(open(path));
  expect(error.code).toBe("index-damaged");
  expect(error.message).toMatch(/database of another program: choose another place/);
  expect((await failure(VectorIndex.delete({ path }))).code).toBe("index-damaged");
  const again = new Database(path);
  expect(again.prepare("SELECT a FROM other").all()).toEqual([{ a: 1 }]);
  again.close();
});

test("a newer format is refused", async () => {
  const path = await made(3);
  const database = raw(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  const error = await failure(open(path));
  expect(error.code).toBe("index-newer");
  expect(error.message).toMatch(/in format 99; this one reads 1: update it/);
});

test.each([
  ["a page", 32_768 * 2, 32_768],
  ["the tables", 100, 400],
  ["the second half", 60_000, 1_000_000],
])("overwritten in %s it is refused, and can be deleted", async (_, begin, length) => {
  const path = await made();
  const bytes = readFileSync(path);
  for (let i = begin; i < Math.min(begin + length, bytes.length); i++) bytes[i] = (i * 131) & 0xff;
  writeFileSync(path, bytes);
  // opening reads vectors alone: other damage shows where it is read
  const error = await failure(async () => {
    const index = await open(path);
    try {
      for await (const { id } of index.items()) await index.search({ id });
    } finally {
      await index.close();
    }
  });
  expect(error.code, error.message).toBe("index-damaged");
  expect(await VectorIndex.delete({ path })).toBe(true);
  expect(existsSync(path)).toBe(false);
  const index = await open(path);
  expect(await index.size()).toBe(0);
  await index.close();
});

test("a truncated file is refused", async () => {
  const path = await made();
  writeFileSync(path, readFileSync(path).subarray(0, 32_768 * 3));
  expect((await failure(open(path))).code).toBe("index-damaged");
});

test("vectors that are missing are noticed", async () => {
  const path = await made();
  const database = raw(path);
  database.exec("DELETE FROM vectors WHERE block = 0");
  database.close();
  const error = await failure(open(path));
  expect(error.code).toBe("index-damaged");
  expect(error.message).toMatch(/vectors of 300 items/);
});

test("a folder that does not exist, or forbids writing, is named", async () => {
  expect((await failure(open(join(folder, "nowhere", "a.sqlite")))).code).toBe("target-unwritable");
  expect((await failure(VectorIndex.open({ path: fresh() }))).code).toBe("index-missing");
  expect((await failure(open(folder))).code).toBe("target-unwritable");
  expect((await failure(VectorIndex.open({ url: "s3://bucket/index" }, { dimension: 2 }))).code).toBe(
    "platform-unsupported",
  );
  // root may write anywhere
  if (process.getuid?.() === 0) return;
  const locked = join(folder, "locked");
  mkdirSync(locked);
  chmodSync(locked, 0o500);
  expect((await failure(open(join(locked, "a.sqlite")))).code).toBe("target-unwritable");
});

test("another process's write is waited for", async () => {
  const path = await made(3);
  const index = await open(path);
  const other = raw(path);
  other.exec("BEGIN IMMEDIATE; UPDATE header SET version = version");
  const adding = index.add({ id: "new", vector: new Float32Array(64).fill(1) });
  // reading does not wait
  const reader = await open(path);
  expect(await reader.size()).toBe(3);
  await reader.close();
  other.exec("COMMIT");
  other.close();
  await adding;
  expect(await index.size()).toBe(4);
  await index.close();
});
