/** Runs the code blocks of the guide to search. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blockOf, PHOTOS, photo, ROOT, serveGuide } from "./guides";
import { swiftShader } from "./swiftshader";

const folder = mkdtempSync(join(tmpdir(), "clipwright-search-guide-"));
const block = (language: string, has = "") => blockOf("search.md", language, has);
const MODEL = "models/clip-vit-base-patch32";

beforeAll(() => {
  for (const name of ["photos", "node_modules", "public"]) mkdirSync(join(folder, name));
  for (const name of ["clipwright", "libsql"])
    symlinkSync(name === "clipwright" ? ROOT : join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  cpSync(join(ROOT, "test/fixtures/models/clip-quickgelu-p8/hf"), join(folder, "public", MODEL), { recursive: true });
  for (const name of PHOTOS) cpSync(photo(name), join(folder, "photos", name));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("searches a folder of photographs in Node, and encodes only what is new the second time", () => {
  // the Hub is far away
  const code = block("js").replace('"laion/CLIP-ViT-B-32-laion2B-s34B-b79K"', `"./public/${MODEL}"`);
  expect(code).toContain(MODEL);
  writeFileSync(join(folder, "search.mjs"), code);
  const env = { ...process.env, ...swiftShader() };
  const run = () =>
    execFileSync(process.execPath, ["search.mjs", "a photo of a cat"], { cwd: folder, encoding: "utf8", env });
  const first = run();
  const lines = first.trim().split("\n");
  expect(lines.map((line) => line.split(" ")[1]).sort()).toEqual([...PHOTOS].sort());
  const scores = lines.map((line) => Number.parseFloat(line));
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  // what is indexed is not read again
  writeFileSync(join(folder, "photos", PHOTOS[0] as string), "no picture any more");
  expect(run()).toBe(first);
});

test("exports an index to a folder, and imports it into another", () => {
  const code = block("js", "exportFiles");
  const before = `import { VectorIndex } from "clipwright/search";
    const [index, other] = await Promise.all([2, 2].map((dimension) => VectorIndex.inMemory({ dimension })));
    await index.add({ id: "a", vector: [1, 0] });`;
  const after = "console.log(await other.size()); await index.close(); await other.close();";
  writeFileSync(join(folder, "export.mjs"), `${before}\n${code}\n${after}`);
  expect(execFileSync(process.execPath, ["export.mjs"], { cwd: folder, encoding: "utf8" })).toBe("1\n");
});

test("indexes files picked in a page, and searches them after a reload", async () => {
  cpSync(photo(PHOTOS[0] as string), join(folder, "photos", PHOTOS[0] as string));
  const { tab, url, errors, close } = await serveGuide(folder, block("html"));
  const ready = async () => {
    await tab.goto(url);
    await tab.waitForFunction(() => document.querySelector<HTMLInputElement>("[type=search]")?.onchange);
  };
  /** Searches until so many are found: pictures are encoded meanwhile. */
  const searchUntil = async (count: number) => {
    for (let tries = 0; tries < 100; tries++) {
      await tab.fill("[type=search]", "");
      await tab.fill("[type=search]", "a photo of a cat");
      await tab.dispatchEvent("[type=search]", "change");
      await tab.waitForTimeout(100);
      const lines = await tab.locator("li").allTextContents();
      if (lines.length === count) return lines;
    }
    throw new Error(`too few matches: ${errors.join("; ")}`);
  };
  await ready();
  await tab.setInputFiles(
    "[type=file]",
    PHOTOS.map((name) => join(folder, "photos", name)),
  );
  const lines = await searchUntil(PHOTOS.length);
  await ready();
  const again = await searchUntil(PHOTOS.length);
  await close();
  expect(errors).toEqual([]);
  expect(lines.map((line) => line.split(" ")[0]).sort()).toEqual([...PHOTOS].sort());
  expect(again).toEqual(lines);
});
