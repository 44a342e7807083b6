/** Modules that fail to load: a brief network failure, a server that answers with a web page. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
// not part of the API: a worker has its modules beside it
import { readMerges } from "../../workers/loading/merges.js";
import { ENCODING_MODULES } from "../../workers/runtime/encoding-modules.js";
import { loadWasm } from "../../workers/runtime/wasm.js";

test("bundled merges that are a web page or corrupt are named, and unpacked ones are read", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const own = { code: "source-unreadable", message: expect.stringContaining("own clip-merges.txt.gz: ") };
  await expect(readMerges(bytes("<!doctype html>"))).rejects.toMatchObject(own);
  await expect(readMerges(new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0]))).rejects.toMatchObject(own);
  const packed = new Uint8Array(await readFile(new URL("../../assets/clip-merges.txt.gz", import.meta.url)));
  const merges = await readMerges(packed);
  expect(await readMerges(bytes(merges))).toBe(merges);
});

test("a module that fails to load is named, and requested again", async () => {
  let asked = 0;
  const load = () =>
    loadWasm("cpu", {
      modules: ENCODING_MODULES,
      binary: async (url) => {
        asked++;
        if (asked === 1) throw new TypeError("fetch failed");
        if (asked === 2) return new TextEncoder().encode("<!doctype html>");
        return readFile(url);
      },
    });
  const named = (got: string) => ({
    code: "source-unreadable",
    message: expect.stringMatching(`own module encode-cpu.*${got}`),
  });
  await expect(load()).rejects.toMatchObject(named("fetch failed"));
  await expect(load()).rejects.toMatchObject(named("magic word"));
  expect((await load()).threads).toBe(1);
  expect(await load()).toBe(await load());
  expect(asked).toBe(3);
});
