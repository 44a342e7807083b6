/** Runs the code blocks of the training guide, one after another. */

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { packTar } from "modern-tar";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startModelServer } from "../support";
import { swiftShader } from "./swiftshader";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clipwright-training-"));
const guide = readFileSync(join(root, "docs/guide/training.md"), "utf8");
const blocks = [...guide.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code as string);
const NAMES = ["checker_300x300.png", "noise_60x45.png", "gradient_37x211.png", "gray_75x50.png", "scene_640x427.jpg"];

beforeAll(async () => {
  for (const name of ["photos", "shards", "node_modules"]) mkdirSync(join(folder, name));
  symlinkSync(root, join(folder, "node_modules", "clipwright"));
  const photo = (name: string) => join(root, "test/fixtures/preprocess/images", name);
  for (const [i, name] of NAMES.entries()) {
    cpSync(photo(name), join(folder, "photos", name));
    writeFileSync(join(folder, "photos", name.replace(/\.\w+$/, ".txt")), `a picture ${"abcde"[i]}\n`);
  }
  cpSync(photo("gray_75x50.png"), join(folder, "photos", "nameless.png"));
  writeFileSync(join(folder, "captions.csv"), "image,title\nnoise_60x45.png,noise\nnoise_60x45.png,static\n");
  for (const number of ["000", "001"]) {
    const files = ["a.png", "a.txt"].map((name) => ({
      header: { name, size: 4, type: "file" as const },
      body: new Uint8Array(4).fill(65),
    }));
    writeFileSync(join(folder, "shards", `photos-${number}.tar`), await packTar(files));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("all blocks run, and write the files that the guide names", async () => {
  expect(blocks.length).toBeGreaterThan(9);
  const server = await startModelServer();
  const readers = `
    for (const reader of [inFolder, inTable, inShards]) {
      const keys = [];
      for await (const { key } of reader) keys.push(key);
      console.log("reads", ...keys);
    }`;
  writeFileSync(join(folder, "guide.mjs"), [...blocks, readers].join("\n"));
  const env = {
    ...process.env,
    ...swiftShader(),
    HF_ENDPOINT: `${server.base}guide`,
    XDG_CACHE_HOME: join(folder, "cache"),
  };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["guide.mjs"], { cwd: folder, env });
  await server.stop();
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^1 left out, the first: pair \d \(nameless\): no caption/m);
  expect(stdout).toMatch(/^reads (\S+ ){5}\S+\nreads noise_60x45.png\nreads a a\n$/m);
  for (const file of ["my-clip/config.json", "my-open-clip/open_clip_config.json", "adapter/adapter_config.json"]) {
    expect(JSON.parse(readFileSync(join(folder, file), "utf8"))).toBeTypeOf("object");
  }
}, 300_000);
