/** Rust, TypeScript and the guide list the same error codes. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { CORE_CODES, HOST_CODES } from "../../workers/protocol/error";

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

test("TypeScript lists every code of the core, and no other", async () => {
  const source = await read("crates/clip-core/src/error.rs");
  const codes = [...source.matchAll(/Self::\w+(?: \{ \.\. \})? => "([a-z-]+)"/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(10);
  expect(codes.sort()).toEqual([...CORE_CODES].sort());
});

test("the guide explains every code once, and no other", async () => {
  const rows = [...(await read("docs/guide/errors.md")).matchAll(/^\| `([a-z-]+)` +\| (.+?) +\| (.+?) +\|$/gm)];
  expect(rows.map(([, code]) => code).sort()).toEqual([...CORE_CODES, ...HOST_CODES].sort());
});
