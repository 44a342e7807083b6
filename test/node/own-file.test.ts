/** A module that cannot be had: a network that fails for a moment, a server that answers with a page. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
// not part of the API: a worker has its modules beside it
import { loadWasm } from "../../dist/workers/wasm.js";

test("is named, and asked for again", async () => {
  let asked = 0;
  const load = () =>
    loadWasm("encode", "cpu", {
      wasm: async (module) => {
        asked++;
        if (asked === 1) throw new TypeError("fetch failed");
        if (asked === 2) return new TextEncoder().encode("<!doctype html>");
        return readFile(new URL(`../../dist/workers/wasm/${module}_bg.wasm`, import.meta.url));
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
