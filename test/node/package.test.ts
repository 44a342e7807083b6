/** The package as npm installs it. */

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clipwright-package-"));

beforeAll(() => {
  const args = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  const tarball = execFileSync("npm", args, { cwd: root, encoding: "utf8" }).trim().split("\n").at(-1) ?? "";
  execFileSync("tar", ["-xzf", join(folder, tarball), "-C", folder]);
  mkdirSync(join(folder, "node_modules"));
  cpSync(join(folder, "package"), join(folder, "node_modules", "clipwright"), { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: folder,
    encoding: "utf8",
  });
  expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: "3 3,4", stderr: "" });
});

test("without the optional package webgpu: auto takes the CPU and says why, webgpu names the package", () => {
  const script = `
    import { ClipTrainer } from "clipwright";
    const config = { embedDim: 4, vision: { imageSize: 8, patchSize: 8, width: 4, layers: 1, heads: 1 },
      text: { contextLength: 8, width: 4, layers: 1, heads: 1 } };
    const trainer = await ClipTrainer.create({ device: "auto", config });
    console.log(trainer.info.device.kind, trainer.info.device.reason);
    trainer.dispose();
    await ClipTrainer.create({ device: "webgpu", config }).catch(({ code, message }) => console.log(code, message));
  `;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: folder,
    encoding: "utf8",
  });
  const reason = 'no WebGPU: the optional package "webgpu" is not installed; run npm install webgpu';
  expect(stdout.trim().split("\n")).toEqual([`cpu ${reason}`, `device-unavailable ${reason}`]);
});

test("a bundler finds the workers, the modules and the merges", async () => {
  const outDir = join(folder, "out");
  await build({
    configFile: false,
    logLevel: "error",
    root: join(root, "examples/train"),
    resolve: { alias: { clipwright: join(folder, "node_modules/clipwright/dist/index.js") } },
    build: { outDir, emptyOutDir: true },
  });
  const assets = readdirSync(join(outDir, "assets"));
  for (const needed of [
    /^encode-.*\.js$/,
    /^train-.*\.js$/,
    /^images-.*\.js$/,
    /^encode-cpu_bg-.*\.wasm$/,
    /^encode-cpu-relaxed_bg-.*\.wasm$/,
    /^encode-cpu-threads-plain_bg-.*\.wasm$/,
    /^encode-cpu-threads_bg-.*\.wasm$/,
    /^encode-webgpu_bg-.*\.wasm$/,
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
});
