/** Other files in place of a model's: each is named, whichever file it replaces. */

import { Clip, type ClipError } from "clipwright";
import { expect, test } from "vitest";
import { fixture } from "../support";

const FOLDER = "models/clip-quickgelu-p8/hf/";
const FILES = [
  "model.safetensors",
  "config.json",
  "preprocessor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

const bytes = (...values: number[]) => new Uint8Array(values);
const padded = (length: number, text: string) => `${"x".repeat(length)}${text}`;
const utf16 = (text: string) => bytes(0xff, 0xfe, ...[...text].flatMap((c) => [c.charCodeAt(0), 0]));

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 605157884\n`;
/** Contents, and the pattern of every message about them. */
const ANYWHERE: [string, BlobPart, RegExp][] = [
  ["an empty file", "", /an empty file/],
  ["a Git LFS pointer", POINTER, /a Git LFS pointer.*git lfs pull/],
  ["a git-annex pointer", "/annex/objects/x".replace(/^/, "../.git"), /a git-annex pointer/],
  ["a link of the Hub's cache", "../../blobs/0123abcd", /a link of the Hub's cache/],
  ["a web page", "<!DOCTYPE html>\n<html><title>Log in</title></html>", /a web page/],
  ["a web page after a space", "\n  <html lang=en>", /a web page/],
  ["a web page with a byte order mark", "\ufeff<!doctype html>", /a web page/],
  ["a server's XML", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', /an XML document/],
  ["S3's error", "<Error><Code>NoSuchKey</Code></Error>", /an XML document/],
  ["a zip", "PK\u0003\u0004\u0014\u0000", /a zip archive/],
  ["an empty zip", "PK\u0005\u0006\u0000\u0000", /a zip archive/],
  ["gzip", bytes(0x1f, 0x8b, 8, 0), /a gzip archive/],
  ["bzip2", "BZh91AY&SY", /a bzip2 archive/],
  ["xz", bytes(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), /an xz archive/],
  ["zstd", bytes(0x28, 0xb5, 0x2f, 0xfd, 4), /a zstd archive/],
  ["7z", bytes(0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c), /a 7z archive/],
  ["tar", padded(257, "ustar\u000000"), /a tar archive/],
  ["a pickle of protocol 2", bytes(0x80, 2, 0x7d, 0x71, 0), /a pickle, which can run code/],
  ["a pickle of protocol 4", bytes(0x80, 4, 0x95, 0x10), /a pickle, which can run code/],
  ["GGUF", "GGUF\u0003\u0000\u0000\u0000", /a GGUF file/],
  ["HDF5", bytes(0x89, 0x48, 0x44, 0x46, 13, 10), /an HDF5 file/],
  ["NumPy", bytes(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0), /a NumPy file/],
  ["ONNX", bytes(8, 7, 18, 7, 112, 121, 116, 111, 114, 99, 104), /an ONNX model/],
  ["PDF", "%PDF-1.7", /a PDF/],
  ["a picture", bytes(0x89, 0x50, 0x4e, 0x47, 13, 10), /a picture/],
];

/** Where text is expected. */
const AS_TEXT: [string, BlobPart, RegExp][] = [
  ["UTF-16", utf16('{"model_type": "clip"}'), /UTF-8, got UTF-16/],
  ["invalid UTF-8", bytes(0x7b, 0x22, 0xe9, 0x22, 0x7d), /UTF-8, got invalid bytes/],
];

/** Where JSON is expected. */
const AS_JSON: [string, BlobPart, RegExp][] = [
  ["JSON cut short", '{"a": 1,\n "b"', /line 2 column/],
  ["a sentence", "Entry not found", /line 1 column 1/],
];
const AS_CHECKED_JSON: [string, BlobPart, RegExp][] = [
  ["an extra word", '{"a": 1,\n "b": NaN}', /invalid JSON at line 2 column 7/],
  [
    "a server's error",
    '{"error": "Invalid credentials in Authorization header"}',
    /a server's error: .*Invalid credentials/,
  ],
  ["a list", "[1, 2]", /expected a JSON object, got "\[1, 2\]"/],
  ["null", "null", /expected a JSON object, got "null"/],
];

async function failure(name: string, content: BlobPart, names: readonly string[] = FILES): Promise<ClipError> {
  const files = await Promise.all(
    names.map(async (file) => new File([file === name ? content : await fixture(FOLDER + file)], file)),
  );
  const result = await Clip.load(files, { device: "cpu" }).catch((error: ClipError) => error);
  if (result instanceof Error) return result;
  result.dispose();
  throw new Error(`${name} was believed`);
}

const codeOf = (name: string) => {
  if (name === "model.safetensors") return "invalid-checkpoint";
  return /token|merges/.test(name) ? "invalid-tokenizer" : "invalid-config";
};

async function isRefused(name: string, content: BlobPart, message: RegExp, names?: readonly string[]): Promise<void> {
  const error = await failure(name, content, names);
  expect(error.message).toMatch(message);
  expect(error.message).toContain(name);
  expect(error.message.length).toBeLessThan(500);
  expect(error.code).toBe(codeOf(name));
}

test.each(ANYWHERE)("%s in place of any file", async (_, content, message) => {
  for (const name of FILES) await isRefused(name, content, message);
  const names = ["config.json", "model.safetensors", "merges.txt"];
  await isRefused("merges.txt", content, message, names);
});

test.each(AS_TEXT)("%s in place of a text file", async (_, content, message) => {
  for (const name of FILES.slice(1)) await isRefused(name, content, message);
});

test.each(AS_JSON)("%s in place of JSON", async (_, content, message) => {
  for (const name of FILES.slice(1)) await isRefused(name, content, message);
});

test.each(AS_CHECKED_JSON)("%s in place of a config", async (_, content, message) => {
  for (const name of FILES.slice(1).filter((name) => name !== "tokenizer.json"))
    await isRefused(name, content, message);
});

test("text in place of weights", async () => {
  await isRefused("model.safetensors", "Access to this model is restricted.", /text that starts with "Access to/);
  await isRefused(
    "model.safetensors",
    '{"error":"Repository not found"}',
    /text that starts with .*Repository not found/,
  );
});

test("weights whose header length looks like another format are read", async () => {
  const weights = await fixture(`${FOLDER}model.safetensors`);
  const length = Number(new DataView(weights.buffer).getBigUint64(0, true));
  // padded with spaces to 0x8b1f bytes, as gzip begins
  const room = 0x8b1f - length;
  expect(room).toBeGreaterThan(0);
  const file = new Uint8Array(weights.length + room);
  file.set(weights.subarray(0, 8 + length));
  file.fill(0x20, 8 + length, 8 + length + room);
  file.set(weights.subarray(8 + length), 8 + length + room);
  new DataView(file.buffer).setBigUint64(0, 0x8b1fn, true);
  const clip = await Clip.load(
    { weights: file, config: new TextDecoder().decode(await fixture(`${FOLDER}config.json`)) },
    { device: "cpu" },
  );
  expect(clip.info.warnings).toEqual([]);
  clip.dispose();
});

test("an adapter's files are named, too", async () => {
  const source = await Promise.all(
    ["model.safetensors", "config.json"].map(async (name) => new File([await fixture(FOLDER + name)], name)),
  );
  const peft = "models/clip-quickgelu-p8/peft/";
  const [weights, config] = ["adapter_model.safetensors", "adapter_config.json"];
  for (const [wrong, code] of [
    [weights, "invalid-checkpoint"],
    [config, "invalid-config"],
  ] as const) {
    const adapter = await Promise.all(
      [weights, config].map(async (name) => new File([name === wrong ? POINTER : await fixture(peft + name)], name)),
    );
    await expect(Clip.load(source, { device: "cpu", adapter })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(new RegExp(`${wrong}: expected .*, got a Git LFS pointer`)),
    });
  }
});

test("a byte order mark before JSON is ignored", async () => {
  const names = ["model.safetensors", "config.json", "tokenizer.json"];
  const files = await Promise.all(
    names.map(async (name) => {
      const mark = name === "model.safetensors" ? [] : ["\ufeff"];
      return new File([...mark, await fixture(FOLDER + name)], name);
    }),
  );
  const clip = await Clip.load(files, { device: "cpu" });
  expect(await clip.tokenize("a cat")).toHaveLength(77);
  clip.dispose();
});
