/** Fuzzed files of the tokenizers library: they are refused, even where the library panics, and it works on. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
// not part of the API: loading a model as well would only take time
import { ForeignTokenizer } from "../../workers/loading/tokenizer/foreign-tokenizer.js";
import { text } from "../support";

const MUTATIONS = 1_000;
const SPLICES = ['"', "0", "9", "-", "null", "[", "{", "}", "]", "x", "\\", "▁", ",", ":", ""];

/** A seeded generator of integers below `n`. */
function numbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % n;
  };
}

test.each(["siglip-mini", "gemma-mini"])("%s, fuzzed", async (name) => {
  const json = await text(`tokenizer/${name}/tokenizer.json`);
  const wasm = await readFile(new URL("../../dist/wasm/tokenizers_bg.wasm", import.meta.url));
  const open = (tokenizer: string) =>
    ForeignTokenizer.open(
      { tokenizer, tokenizerConfig: '{"pad_token":"<pad>"}' },
      { cleaning: "none", tokenizerOverrides: "{}" },
      (text) => text,
      async () => wasm,
    );
  const encode = (tokenizer: ForeignTokenizer) =>
    tokenizer.tokenize(["a photo of a cat", "ﬀ \ufeff 🍎", "", "x".repeat(300)], 16, true);
  const keys = [...json.matchAll(/"(?:type|id|content|Regex|String|unk_id|vocab|merges|ids|normalizers|model)":/g)];
  const below = numbers(1);
  const good = encode(await open(json));
  let refused = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    const at = below(2) ? (keys[below(keys.length)]?.index ?? 0) + below(40) : below(json.length);
    const file = json.slice(0, at) + SPLICES[below(SPLICES.length)] + json.slice(at + below(4));
    try {
      encode(await open(file));
    } catch (error) {
      refused++;
      expect(error).toMatchObject({ code: "invalid-tokenizer" });
    }
  }
  expect(refused).toBeGreaterThan(MUTATIONS / 2);
  expect(encode(await open(json))).toEqual(good);
});
