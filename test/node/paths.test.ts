/** Checkpoints by path: what a name means in Node, and nested folders on disk. */

import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Clip, type ClipError } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";

const FIXTURE = fileURLToPath(new URL("../fixtures/models/clip-quickgelu-p8/hf", import.meta.url));
const MODULES = [{ idx: 0, name: "0", path: "0_CLIPModel", type: "sentence_transformers.models.CLIPModel" }];

let root: string;
const home = process.cwd();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "clipwright-paths-"));
  const copy = (folder: string) => cp(FIXTURE, join(root, folder), { recursive: true });
  await Promise.all(["runs/best", "st/0_CLIPModel", "two/a", "two/b", "cache/snapshots/0a1b"].map(copy));
  await writeFile(join(root, "st/modules.json"), JSON.stringify(MODULES));
  await mkdir(join(root, "cache/refs"));
  await copy("pointer");
  await writeFile(join(root, "pointer/model.safetensors"), "version https://git-lfs.github.com/spec/v1\noid sha256:0");
  // names are relative to the working directory
  process.chdir(root);
});
afterAll(async () => {
  process.chdir(home);
  await rm(root, { recursive: true, force: true });
});

const load = (source: string, endpoint = "http://127.0.0.1:9") =>
  Clip.load(source, { device: "cpu", cache: false, endpoint });

test.each([
  ["a folder, though it could be a Hub id", "runs/best"],
  ["a folder", "./runs/best"],
  ["a file in it", "./runs/best/model.safetensors"],
  ["sentence-transformers' folder", "./st"],
  ["the module in it", "st/0_CLIPModel"],
  ["the Hub's cache", "./cache"],
])("%s loads by its path", async (_, path) => {
  const clip = await load(path);
  expect(clip.info.config.embedDim).toBe(40);
  expect((await clip.tokenize("a cat")).at(-1)).toBe(1023);
  clip.dispose();
});

test.each([
  ["two models", "./two", "invalid-source", /two: expected the files of one model, got 2 folders with weights: a, b/],
  [
    "a pointer",
    "./pointer",
    "invalid-checkpoint",
    /model\.safetensors: expected a safetensors file, got a Git LFS pointer/,
  ],
  ["a folder that is not there", "./runs/none", "source-unreadable", /cannot read the folder or file \.\/runs\/none/],
  ["a name of one part", "none", "source-unreadable", /none: ENOENT.*a Hub id has the form owner\/model/],
  ["a name of two", "runs/none", "source-unreadable", /no folder runs\/none here.*Hub id.*did you mean \.\/runs\/none/],
])("%s is reported", async (_, path, code, message) => {
  const error = (await load(path).catch((reason) => reason)) as ClipError;
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});
