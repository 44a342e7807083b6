/** Runs the code blocks of the guide. */

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startModelServer } from "../support";
import { blockOf, PHOTOS, photo, ROOT, serveGuide } from "./guides";
import { swiftShader } from "./swiftshader";

const folder = mkdtempSync(join(tmpdir(), "clipwright-guide-"));
const block = (language: string) => blockOf("classify.md", language);
/** A file that is no image, as folders of images have them. */
const NOTES = "notes.txt";
const LINE = /^(\S+): (cat|dog|bird)/;

beforeAll(() => {
  mkdirSync(join(folder, "photos"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules", "clipwright"));
  writeFileSync(join(folder, "photos", NOTES), "not a picture");
  for (const name of PHOTOS) cpSync(photo(name), join(folder, "photos", name));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("classifies a folder of photographs in Node, in ten lines", async () => {
  const code = block("js");
  expect(code.trim().split("\n").filter(Boolean).length).toBeLessThanOrEqual(10);
  writeFileSync(join(folder, "classify.mjs"), code);
  const server = await startModelServer();
  const env = {
    ...process.env,
    ...swiftShader(),
    HF_ENDPOINT: `${server.base}guide`,
    XDG_CACHE_HOME: join(folder, "cache"),
  };
  const child = spawn(process.execPath, ["classify.mjs"], { cwd: folder, env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  await new Promise((resolve) => child.on("close", resolve));
  await server.stop();
  expect(stderr).toBe("");
  const lines = stdout.trim().split("\n");
  const [good, bad] = [lines.filter((line) => LINE.test(line)), lines.filter((line) => !LINE.test(line))];
  expect(good.map((line) => LINE.exec(line)?.[1]).sort()).toEqual([...PHOTOS].sort());
  expect(bad).toEqual([expect.stringMatching(/^photos\/notes\.txt: .*expected PNG/)]);
});

test("classifies files picked in a page", async () => {
  const fixtures = join(ROOT, "test/fixtures/models/clip-quickgelu-p8/hf");
  cpSync(fixtures, join(folder, "public/models/clip-vit-base-patch32"), { recursive: true });
  const { tab, url, errors, close } = await serveGuide(folder, block("html"));
  await tab.goto(url);
  await tab.waitForFunction(() => document.querySelector("input")?.onchange);
  await tab.setInputFiles(
    "input",
    [NOTES, ...PHOTOS].map((name) => join(folder, "photos", name)),
  );
  await tab.waitForFunction((count) => document.querySelectorAll("li").length === count, PHOTOS.length + 1);
  const lines = await tab.locator("li").allTextContents();
  await close();
  expect(errors).toEqual([]);
  expect(lines[0]).toMatch(/^notes\.txt: .*expected PNG/);
  expect(lines.slice(1).map((line) => LINE.exec(line)?.[1])).toEqual(PHOTOS);
});
