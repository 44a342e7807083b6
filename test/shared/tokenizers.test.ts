/** Tokenizers of checkpoints: CLIP's in all its files, and others. */

import { Clip, type LoadOptions } from "clipwright";
import { describe, expect, test } from "vitest";
import { fixture, json, text } from "../support";

const mini = "tokenizer/mini";

interface Row {
  text: string;
  ids: number[];
  open_clip: number[];
  hf: number[];
  touches?: string[];
}
const rows = async (path: string): Promise<Row[]> =>
  (await text(path))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    // results that depend on the Unicode version of each implementation
    .filter(({ touches }) => !touches?.includes("newer_unicode"));

describe("CLIP's", () => {
  const load = async (layout: "hf" | "open_clip", parts: object, options: LoadOptions = {}) =>
    Clip.load(
      {
        weights: await fixture(
          `models/clip-quickgelu-p8/${layout}/${layout === "hf" ? "model" : "open_clip_model"}.safetensors`,
        ),
        config: await json(
          `models/clip-quickgelu-p8/${layout}/${layout === "hf" ? "config" : "open_clip_config"}.json`,
        ),
        ...parts,
      },
      { device: "cpu", towers: "text", ...options },
    );

  test.each([
    ["merges.txt", async () => ({ merges: await text(`${mini}/merges.txt`) })],
    ["tokenizer.json", async () => ({ tokenizer: await json(`${mini}/tokenizer.json`) })],
    [
      "tokenizer.json of older spelling",
      async () => ({ tokenizer: await text(`${mini}/tokenizer.string-merges.json`) }),
    ],
  ])("%s, in the publisher's flavour", async (_, parts) => {
    for (const layout of ["hf", "open_clip"] as const) {
      const clip = await load(layout, await parts());
      for (const row of await rows(`${mini}/cases.jsonl`)) {
        const ids = await clip.tokenize(row.text, { truncate: true });
        expect([...ids], JSON.stringify(row.text)).toEqual(row[layout]);
      }
      clip.dispose();
    }
  });

  test("padding and flavour can be chosen", async () => {
    const tokenizer = await json(`${mini}/tokenizer.json`);
    const zero = await load("hf", { tokenizer, tokenizerConfig: { pad_token: "!" } });
    expect((await zero.tokenize("a")).at(-1)).toBe(0);
    zero.dispose();
    const openClip = await load("hf", { tokenizer }, { tokenizer: "open_clip" });
    expect((await openClip.tokenize("a")).at(-1)).toBe(0);
    openClip.dispose();
  });

  test("special tokens are found after lower-casing where the file asks for it", async () => {
    const tokenizer = await json(`${mini}/tokenizer.json`);
    for (const added of tokenizer.added_tokens) added.normalized = true;
    const clip = await load("hf", { tokenizer });
    expect([...(await clip.tokenize("<|ENDOFTEXT|>")).subarray(0, 3)]).toEqual([1022, 1023, 1023]);
    clip.dispose();
  });
});

describe("SigLIP's", () => {
  test.each(["siglip-mini", "gemma-mini"])("%s gives the ids of transformers", async (name) => {
    const folder = `tokenizer/${name}`;
    const config = await json("models/siglip-p16/hf/config.json");
    // the ids may exceed the model's vocabulary: only the tokenizer is tested
    const clip = await Clip.load(
      {
        weights: await fixture("models/siglip-p16/hf/model.safetensors"),
        config,
        tokenizer: await json(`${folder}/tokenizer.json`),
        tokenizerConfig: await json(`${folder}/tokenizer_config.json`),
      },
      { device: "cpu", towers: "text" },
    );
    const context = 16;
    const pad = name === "siglip-mini" ? 1 : 0;
    for (const { text: caption, ids } of await rows(`${folder}/cases.jsonl`)) {
      const cut = ids.length > context ? [...ids.slice(0, context - 1), ids.at(-1)] : ids;
      const expected = [...cut, ...Array(context - cut.length).fill(pad)];
      const got = await clip.tokenize(caption, { truncate: true });
      expect([...got], JSON.stringify(caption)).toEqual(expected);
    }
    await expect(clip.tokenize("word ".repeat(40))).rejects.toMatchObject({ code: "caption-too-long" });
    expect((await clip.tokenize(["a cat", "a dog"])).length).toBe(2 * context);
    clip.dispose();
  });

  test("they follow their own files, and no reference of CLIP's", async () => {
    const folder = "tokenizer/gemma-mini";
    const source = {
      weights: await fixture("models/siglip-p16/hf/model.safetensors"),
      config: await json("models/siglip-p16/hf/config.json"),
      tokenizer: await json(`${folder}/tokenizer.json`),
      tokenizerConfig: await json(`${folder}/tokenizer_config.json`),
    };
    await expect(Clip.load(source, { device: "cpu", tokenizer: "hf" })).rejects.toMatchObject({
      code: "invalid-option",
      message: expect.stringContaining("tokenizer: expected none beside a tokenizer that is not CLIP's"),
    });
    const wrong = { ...source, tokenizerConfig: { ...source.tokenizerConfig, eos_token: 7 } };
    await expect(Clip.load(wrong, { device: "cpu" })).rejects.toMatchObject({
      code: "invalid-tokenizer",
      message: expect.stringContaining("eos_token: expected a token, got 7"),
    });
  });

  test("files that are no tokenizer are refused", async () => {
    const weights = await fixture("models/siglip-p16/hf/model.safetensors");
    const config = await json("models/siglip-p16/hf/config.json");
    for (const tokenizer of [{ model: { type: "Unigram" } }, { model: { type: "Magic", vocab: {} } }]) {
      await expect(Clip.load({ weights, config, tokenizer }, { device: "cpu" })).rejects.toMatchObject({
        code: "invalid-tokenizer",
      });
    }
  });
});
