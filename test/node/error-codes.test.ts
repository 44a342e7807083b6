/** The two lists of error codes are one. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { CORE_CODES } from "../../workers/protocol/error";

test("every code of the core is known to TypeScript, and no other", async () => {
  const source = await readFile(new URL("../../crates/clip-core/src/error.rs", import.meta.url), "utf8");
  const codes = [...source.matchAll(/Self::\w+(?: \{ \.\. \})? => "([a-z-]+)"/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(10);
  expect(codes.sort()).toEqual([...CORE_CODES].sort());
});
