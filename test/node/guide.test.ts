/** Runs the code blocks of the guide. */

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startModelServer } from "../support";
import { launchChromium } from "./chromium";
import { swiftShader } from "./swiftshader";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clipwright-guide-"));
const guide = readFileSync(join(root, "docs/guide/classify.md"), "utf8");
const block = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(guide)?.[1] ?? "";
const photos = ["scene_640x427.jpg", "exif6_120x80.jpg", "animated_50x64.webp"];
/** A file that is no image, as folders of images have them. */
const NOTES = "notes.txt";
const LINE = /^(\S+): (cat|dog|bird)/;

beforeAll(() => {
  mkdirSync(join(folder, "photos"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules", "clipwright"));
  writeFileSync(join(folder, "photos", NOTES), "not a picture");
  for (const name of photos) cpSync(join(root, "test/fixtures/preprocess/images", name), join(folder, "photos", name));
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
  expect(good.map((line) => LINE.exec(line)?.[1]).sort()).toEqual([...photos].sort());
  expect(bad).toEqual([expect.stringMatching(/^photos\/notes\.txt: .*expected PNG/)]);
});

test("classifies files picked in a page", async () => {
  const page = block("html");
  writeFileSync(join(folder, "index.html"), `<!doctype html><title>guide</title>${page}`);
  const fixtures = join(root, "test/fixtures/models/clip-quickgelu-p8/hf");
  cpSync(fixtures, join(folder, "public/models/clip-vit-base-patch32"), { recursive: true });
  const server = await createServer({
    configFile: false,
    logLevel: "error",
    root: folder,
    server: { host: "127.0.0.1", port: 0, watch: null, hmr: false, fs: { strict: false } },
  });
  await server.listen();
  const address = server.httpServer?.address();
  const browser = await launchChromium();
  const tab = await browser.newPage();
  const errors: string[] = [];
  tab.on("pageerror", (error) => errors.push(error.message));
  await tab.goto(`http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/`);
  await tab.waitForFunction(() => document.querySelector("input")?.onchange);
  await tab.setInputFiles(
    "input",
    [NOTES, ...photos].map((name) => join(folder, "photos", name)),
  );
  await tab.waitForFunction((count) => document.querySelectorAll("li").length === count, photos.length + 1);
  const lines = await tab.locator("li").allTextContents();
  await browser.close();
  await server.close();
  expect(errors).toEqual([]);
  expect(lines[0]).toMatch(/^notes\.txt: .*expected PNG/);
  expect(lines.slice(1).map((line) => LINE.exec(line)?.[1])).toEqual(photos);
});
