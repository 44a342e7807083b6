/** The package as npm installs it, in the set-ups that fail differently; `npm run test:package` has all of them. */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeProject, pack, temporaryFolder } from "../package/project.mjs";
import { PROJECTS } from "../package/rows.mjs";
import { runRows } from "../package/run.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const QUICK = ["node-cjs", "vite-8-build", "vite-5-build", "esbuild", "no-bundler", "jest-cjs"];
/** Scripts of a page that encodes, compressed: its own and the worker's; 40.1 KB when this was written. */
const MOST_SCRIPTS = 42 * 1024;

const packed = temporaryFolder("package");
let tarball: string;
let project: { folder: string; remove: () => void };

beforeAll(async () => {
  tarball = await pack(packed.folder);
  project = await makeProject({ name: "train", files: [], public: undefined, install: {} }, tarball);
});
afterAll(() => {
  project.remove();
  packed.remove();
});

const runInProject = (script: string) => {
  const options = { cwd: project.folder, encoding: "utf8" } as const;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], options);
  return { stdout: stdout.trim(), stderr };
};

describe("installed, built and run as its users would", () => {
  let results: Awaited<ReturnType<typeof runRows>>;
  const of = (name: string) => results.find(({ row }) => row.name === name);

  beforeAll(async () => {
    results = await runRows(QUICK, { tarball });
  }, 600_000);

  test.each(QUICK)("%s: the embedding is Node's", (name) => {
    expect(of(name)?.error).toBeUndefined();
    expect(of(name)?.difference).toBeLessThanOrEqual(3e-7);
  });

  test("a page that encodes fetches few scripts", () => {
    expect(of("vite-8-build")?.scripts).toBeLessThanOrEqual(MOST_SCRIPTS);
  });
});

test("trains and encodes in Node from the packed files alone, with empty stderr", () => {
  const script = `
    import { ClipTrainer } from "clipwright";
    const trainer = await ClipTrainer.create({ device: "cpu", config: {
      embedDim: 4, vision: { imageSize: 8, patchSize: 8, width: 4, layers: 1, heads: 1 },
      text: { contextLength: 8, width: 4, layers: 1, heads: 1 } } });
    const pairs = ["red", "blue"].map((text, i) => ({ text, image: { data: new Uint8Array(192).fill(99 * i), width: 8, height: 8 } }));
    let steps = 0;
    for await (const event of trainer.fit(pairs, { batchSize: 2, epochs: 3, augment: {} })) steps = event.step;
    const { shape } = await trainer.encodeText(["red", "blue", "red"]);
    console.log(steps, shape.join());
    trainer.dispose();
  `;
  expect(runInProject(script)).toEqual({ stdout: "3 3,4", stderr: "" });
});

test.each([
  "import('clipwright')",
  "import('node:module').then((m) => m.createRequire(process.cwd() + '/')('clipwright'))",
])("%s changes no global", (load) => {
  const script = `
      const describe = (object) => Reflect.ownKeys(object).map((key) => {
        const { value, get, set } = Object.getOwnPropertyDescriptor(object, key);
        return [key, value, get, set];
      });
      const builtIns = ["Object", "Array", "Promise", "Symbol", "Map", "Set", "Error", "Uint8Array", "Blob", "URL", "ReadableStream"];
      const all = () => [globalThis, ...builtIns.flatMap((name) => [globalThis[name], globalThis[name].prototype])].map(describe).flat(2);
      await import("node:module");
      const before = all();
      const { Clip } = await ${load};
      const after = all();
      console.log(typeof Clip, before.length === after.length && before.every((value, i) => Object.is(value, after[i])));
    `;
  expect(runInProject(script)).toEqual({ stdout: "function true", stderr: "" });
});

test("a bundler finds the workers, the modules and the merges of a page that trains, and no more", async () => {
  const outDir = join(project.folder, "out");
  await build({
    configFile: false,
    logLevel: "error",
    root: join(root, "examples/train"),
    resolve: { alias: { clipwright: join(project.folder, "node_modules/clipwright/dist/index.js") } },
    build: { outDir, emptyOutDir: true },
  });
  const assets = readdirSync(join(outDir, "assets"));
  for (const needed of [
    /^train-.*\.js$/,
    /^images-.*\.js$/,
    /^train-cpu_bg-.*\.wasm$/,
    /^train-cpu-relaxed_bg-.*\.wasm$/,
    /^train-cpu-threads-plain_bg-.*\.wasm$/,
    /^train-cpu-threads_bg-.*\.wasm$/,
    /^train-webgpu_bg-.*\.wasm$/,
    /^thread-.*\.js$/,
    /^tokenizers_bg-.*\.wasm$/,
    /^clip-merges\.txt-.*\.gz$/,
  ]) {
    expect(
      assets.filter((name) => needed.test(name)),
      `${needed} in ${assets}`,
    ).toHaveLength(1);
  }
  expect(assets.filter((name) => name.startsWith("encode"))).toEqual([]);
});

describe("docs/guide/bundlers.md", () => {
  const page = readFileSync(join(root, "docs/guide/bundlers.md"), "utf8");
  const blocks = [...page.matchAll(/<!-- (test\/package\/\S+) -->\n\n```\w+\n([\s\S]*?)```/g)];

  test.each(blocks.map(([, file, code]) => [file, code]))("shows %s as it was run", (file, code) => {
    expect(code).toBe(readFileSync(join(root, file as string), "utf8"));
  });

  test("has every row, and none that fails", () => {
    const titles = [...page.matchAll(/^\| (?!set-up|---)(.+?) +\|/gm)].map(([, title]) => title);
    expect(titles).toEqual(PROJECTS.flatMap(({ rows }) => rows).map(({ title }) => title));
    expect(page).not.toContain("**fails**");
  });
});
