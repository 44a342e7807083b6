import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { conflictOf, isStandIn, joinGlue, standInFor } from "../../scripts/glue.mjs";

const folder = new URL("../../workers/wasm/", import.meta.url);
const glueOf = (module: string) => readFileSync(new URL(`${module}.js`, folder), "utf8");
const gluesOf = (...modules: string[]) => Object.fromEntries(modules.map((module) => [module, glueOf(module)]));

/** What an instance of the glue has, as far as the tests use it. */
interface Glue {
  default(options: { module_or_path: Uint8Array }): Promise<{ memory: WebAssembly.Memory }>;
  Threads: unknown;
  Sha256: new () => { update(bytes: Uint8Array): void; finish(): string };
  FileTokenizer: unknown;
}

/** Runs the joined glue of modules, as a worker does. */
const run = async (...modules: string[]) =>
  new Function(`return ${await joinGlue(gluesOf(...modules))}`)() as () => Glue;

const wasm = (module: string) => ({ module_or_path: readFileSync(new URL(`${module}_bg.wasm`, folder)) });

describe("the joined glue", () => {
  it("has the classes of all modules, and is an instance of its own each time", async () => {
    const glue = await run("encode-cpu", "encode-cpu-threads", "tokenizers");
    const [one, two] = [glue(), glue()];
    expect(Object.keys(one)).toEqual(expect.arrayContaining(["ClipModel", "Threads", "FileTokenizer", "default"]));
    expect(one.Sha256).not.toBe(two.Sha256);
    const [first, second] = await Promise.all([one.default(wasm("encode-cpu")), two.default(wasm("tokenizers"))]);
    expect(first.memory).not.toBe(second.memory);
    const hash = new one.Sha256();
    hash.update(new TextEncoder().encode("abc"));
    // FIPS 180-4's example
    expect(hash.finish()).toMatch(/^ba7816bf8f01cfea/);
  });

  it("gives a memory that threads share to modules with threads alone", async () => {
    const glue = await run("encode-cpu", "encode-cpu-threads-plain", "train-cpu-threads-plain");
    const { memory } = await glue().default(wasm("encode-cpu"));
    expect(memory.buffer).toBeInstanceOf(ArrayBuffer);
    for (const module of ["encode-cpu-threads-plain", "train-cpu-threads-plain"]) {
      const shared = await glue().default(wasm(module));
      expect(shared.memory.buffer, module).toBeInstanceOf(SharedArrayBuffer);
    }
  });

  it("is smaller than a second copy", async () => {
    const [alone, both] = await Promise.all([
      joinGlue(gluesOf("encode-cpu-threads")),
      joinGlue(gluesOf("encode-cpu-threads", "encode-cpu", "encode-cpu-relaxed")),
    ]);
    expect(both.length).toBeLessThan(1.05 * alone.length);
  });

  it("refuses modules that were built from different sources, by name", async () => {
    const other = glueOf("encode-webgpu").replace("wasm.clipmodel_encodeIds(", "wasm.clipmodel_encodeTexts(");
    const conflict = await conflictOf({ ...gluesOf("encode-cpu"), "encode-webgpu": other });
    expect(conflict?.message).toBe(
      "the glue of encode-cpu and of encode-webgpu does not agree on ClipModel: run npm run build",
    );
    expect(conflict?.modules).toEqual(["encode-cpu", "encode-webgpu"]);
    expect(await conflictOf(gluesOf("encode-cpu", "encode-webgpu"))).toBeUndefined();
  });

  it("is told from what stands in for a module that is not built", () => {
    expect(isStandIn(standInFor("encode-cpu"))).toBe(true);
    expect(isStandIn(glueOf("encode-cpu"))).toBe(false);
  });
});
