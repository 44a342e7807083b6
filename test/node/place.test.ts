/** clipwright as a guest: a process that imports it, and ends. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a script in a process of its own; returns what it prints. */
function run(script: string, flags: readonly string[] = []): string {
  const options = { cwd: root, encoding: "utf8", timeout: 60_000 } as const;
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    [...flags, "--input-type=module", "-e", script],
    options,
  );
  expect({ stderr, status, signal }).toEqual({ stderr: "", status: 0, signal: null });
  return stdout.trim();
}

test("a script that does not call dispose() ends when its work is done, the images' worker and callbacks included", () => {
  const script = `
    import { Clip, ClipTrainer } from "clipwright";
    const trainer = await ClipTrainer.create({ device: "cpu", config: {
      embedDim: 4, vision: { imageSize: 8, patchSize: 8, width: 4, layers: 1, heads: 1 },
      text: { contextLength: 8, width: 4, layers: 1, heads: 1 } } });
    const pairs = ["red", "blue"].map((text, i) => ({ text, image: { data: new Uint8Array(192).fill(99 * i), width: 8, height: 8 } }));
    let steps = 0;
    for await (const { step } of trainer.fit(pairs, { batchSize: 2, epochs: 3, augment: {} })) steps = step;
    const phases = [];
    const onProgress = ({ phase }) => phases.push(phase);
    const clip = await Clip.load("test/fixtures/models/clip-quickgelu-p8/hf", { device: "cpu", onProgress });
    // nobody awaits it, and it is answered all the same
    clip.encodeText("red").then(({ shape }) => console.log(steps, phases.length > 0, shape.join()));
  `;
  expect(run(script)).toBe("3 true 1,40");
});

test("importing changes no global and no prototype", () => {
  const script = `
    const of = (object) => Reflect.ownKeys(object).map((key) => [key, Object.getOwnPropertyDescriptor(object, key)]);
    const owners = [globalThis, ...Object.values(Object.getOwnPropertyDescriptors(globalThis)).flatMap(({ value }) =>
      typeof value === "function" ? [value, ...(value.prototype ? [value.prototype] : [])] : [])];
    const before = owners.map(of);
    await import("clipwright");
    const same = (a, b) => a.length === b.length && a.every(([key, one], i) => key === b[i][0] &&
      ["value", "get", "set", "writable", "enumerable", "configurable"].every((field) => Object.is(one[field], b[i][1][field])));
    const changed = owners.filter((owner, i) => !same(before[i], of(owner)));
    console.log(owners.length > 100, changed.map((owner) => owner.name ?? "a prototype").join());
  `;
  expect(run(script)).toBe("true");
});

/** A CommonJS module of another realm, and those that it requires by path: its globals are JavaScript's own, and what every test environment has. */
function requireInContext(path: string): typeof import("clipwright") {
  const context = createContext({ process, setTimeout, clearTimeout, performance });
  const loaded = new Map<string, { exports: unknown }>();
  const load = (file: string): unknown => {
    const known = loaded.get(file);
    if (known) return known.exports;
    const module = { exports: {} };
    loaded.set(file, module);
    const source = `(function (require, module, exports, __filename) {${readFileSync(file, "utf8")}\n})`;
    const require = (name: string) =>
      name.startsWith(".") ? load(join(dirname(file), name)) : createRequire(file)(name);
    runInContext(source, context)(require, module, module.exports, file);
    return module.exports;
  };
  return load(path) as typeof import("clipwright");
}

test("in a realm without the platform's classes everything works, and results are arrays of that realm", async () => {
  const { Clip, captionTable, webDataset } = requireInContext(`${root}dist/index.cjs`);
  const onProgress = () => {};
  const clip = await Clip.load(`${root}test/fixtures/models/clip-quickgelu-p8/hf`, { device: "cpu", onProgress });
  const { data } = await clip.encodeImage(`${root}test/fixtures/preprocess/images/noise_60x45.png`);
  expect(data).not.toBeInstanceOf(Float32Array);
  expect(data.constructor.name).toBe("Float32Array");
  clip.dispose();
  const texts = [];
  const table = gzipSync("file_name,text\na.png,one\n");
  for await (const { text } of captionTable(table, { images: () => new Uint8Array() })) texts.push(text);
  for await (const { text } of webDataset(`${root}test/fixtures/cases/webdataset/dots.tar`)) texts.push(text);
  expect(texts).toHaveLength(3);
});

/** Classes that browsers have, and that other places lack. */
const CLASSES = ["Blob", "MessageChannel", "ReadableStream", "TextDecoder", "TextEncoder", "URL", "fetch", "navigator"];

test("the build for browsers imports without any of them, and names what is missing", () => {
  const script = `
    for (const name of ${JSON.stringify(CLASSES)}) delete globalThis[name];
    const { Clip } = await import("./dist/index.js");
    const { code, message } = await Clip.load("https://example.org/").catch((error) => error);
    console.log(code, message);
  `;
  expect(run(script)).toMatch(/^platform-unsupported .*there is no Worker here: .*the condition "node"/);
});

/** Returns the error of a load in a process with these flags. */
function errorWith(flags: readonly string[]): string {
  const script = `
    import { Clip } from "clipwright";
    const { code, message } = await Clip.load("test/fixtures/models/clip-quickgelu-p8/hf").catch((error) => error);
    console.log(code, message);
  `;
  const options = { cwd: root, encoding: "utf8" } as const;
  return spawnSync(process.execPath, [...flags, "--input-type=module", "-e", script], options).stdout;
}

test("where workers are forbidden the error says so", () => {
  const { allowedNodeEnvironmentFlags: flags } = process;
  const permission = flags.has("--permission") ? "--permission" : "--experimental-permission";
  expect(errorWith([permission, "--allow-fs-read=*"])).toMatch(/^platform-unsupported .*none can be started: /);
});

test("where there is no WebAssembly the error says so", () => {
  expect(errorWith(["--jitless"])).toMatch(
    /^platform-unsupported the model runs in WebAssembly, and this engine has none/,
  );
});
