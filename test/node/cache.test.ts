/** The cache in Node, when a worker is killed and when other programs write to it. */

import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { Clip, type LoadOptions } from "clipwright";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startModelServer } from "../support";

const FOLDER = "models/clip-quickgelu-p8/hf/";
let server: Awaited<ReturnType<typeof startModelServer>>;
let base: string;
let count = 0;

beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  base = `${server.base}${count++}/`;
});

const folder = () => join(process.env.XDG_CACHE_HOME ?? "", "clipwright", "models");
const set = (mode: string, bytes = 0) => fetch(`${base}set?mode=${mode}&bytes=${bytes}`);
const sent = async (): Promise<number> => (await (await fetch(`${base}stats`)).json()).sent;
const load = (options: LoadOptions = {}) => Clip.load(base + FOLDER, { device: "cpu", ...options });
const named = (prefix: string) => readdirSync(folder()).filter((name) => name.startsWith(prefix));

test("a killed worker leaves a partial download, which the next one resumes", async () => {
  await set("slow", 40_000);
  const made = new Promise<Worker>((resolve) => process.once("worker", resolve));
  const error = await load({
    onProgress: ({ loadedBytes }) => {
      if (loadedBytes > 200_000) made.then((worker) => worker.terminate());
    },
  }).catch((reason) => reason);
  expect(error).toMatchObject({ code: "worker-lost" });
  expect(named("part-").some((name) => name.endsWith(".lock"))).toBe(true);
  const before = await sent();
  await set("plain");
  const clip = await load();
  const bytes = (await clip.cache.list())[0]?.bytes ?? 0;
  expect(clip.info.warnings).toEqual([]);
  clip.dispose();
  // small files are downloaded again, the weights are not
  expect((await sent()) - before).toBeLessThan(bytes - 200_000 + 100_000);
  expect(named("part-")).toEqual([]);
});

test("two loads at once download once", async () => {
  await set("slow", 100_000);
  const clips = await Promise.all([load(), load()]);
  const bytes = (await clips[0]?.cache.list())?.find(({ url }) => url === base + FOLDER)?.bytes ?? 0;
  for (const clip of clips) clip.dispose();
  expect(await sent()).toBeLessThan(1.5 * bytes);
});

test("truncated blobs and corrupt indexes are downloaded again", async () => {
  (await load()).dispose();
  const before = await sent();
  const [object = ""] = named("object-").filter((name) => readFileSync(join(folder(), name), "utf8").includes(base));
  const { sha256 } = JSON.parse(readFileSync(join(folder(), object), "utf8"));
  truncateSync(join(folder(), `blob-${sha256}`), 1_000);
  (await load()).dispose();
  expect(await sent()).toBeGreaterThan(before);
  for (const name of named("object-").concat(named("model-"))) writeFileSync(join(folder(), name), "{ noise");
  const clip = await load();
  expect((await clip.encodeText({ inputIds: new Int32Array(77).fill(1) })).shape).toEqual([1, 40]);
  clip.dispose();
});

test("a blob that another program overwrote is refused once, then downloaded again", async () => {
  (await load()).dispose();
  const [object = ""] = named("object-").filter((name) => readFileSync(join(folder(), name), "utf8").includes(base));
  const path = join(folder(), `blob-${JSON.parse(readFileSync(join(folder(), object), "utf8")).sha256}`);
  const good = readFileSync(path);
  writeFileSync(path, Buffer.from(good).fill(0, 8, 100));
  await expect(load()).rejects.toMatchObject({ code: "invalid-checkpoint" });
  (await load()).dispose();
  expect(readFileSync(path).equals(good)).toBe(true);
});

test("a model cached by a version that knew fewer files is completed from the server, or loads without them", async () => {
  (await load()).dispose();
  const [name = ""] = named("model-").filter((name) => readFileSync(join(folder(), name), "utf8").includes(base));
  const manifest = () => JSON.parse(readFileSync(join(folder(), name), "utf8"));
  const older = manifest();
  expect(older.texts["modules.json"]).toBe(null);
  delete older.texts["modules.json"];
  delete older.texts["preprocessor_config.json"];
  writeFileSync(join(folder(), name), JSON.stringify(older));
  await set("down");
  (await load()).dispose();
  expect(manifest()).toEqual(older);
  await set("plain");
  (await load()).dispose();
  expect(manifest().texts).toMatchObject({ "modules.json": null, "preprocessor_config.json": expect.any(String) });
});

test("without a cache folder, the model loads with a warning", async () => {
  const home = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = "/dev/null";
  try {
    const clip = await load();
    expect(clip.info.warnings).toEqual(["not cached: this platform has no place for a cache"]);
    expect(await clip.cache.list()).toEqual([]);
    expect(await clip.cache.delete()).toBe(0);
    clip.dispose();
  } finally {
    process.env.XDG_CACHE_HOME = home;
  }
});
