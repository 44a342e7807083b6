/** A checkpoint's input files: image processors, cleaning of texts, added tokens. Expected values are from the references. */

import { Clip } from "clipwright";
import { describe, expect, test } from "vitest";
import { fixture, json, text } from "../support";

const HF = "models/clip-gelu-p16-eos/hf";
const file = (name: string, data: string | Uint8Array<ArrayBuffer>) => new File([data], name);
const filesOf = (folder: string, names: string[]) =>
  Promise.all(names.map(async (name) => file(name, await fixture(`${folder}/${name}`))));
const weights = async () => file("model.safetensors", await fixture(`${HF}/model.safetensors`));
const floats = (bytes: Uint8Array<ArrayBuffer>) => new Float32Array(bytes.buffer);

describe("processor_config.json", () => {
  const folder = "cases/processor-config";
  test.each([
    ["v5-own", ["config.json", "processor_config.json"]],
    ["v5-both", ["config.json", "preprocessor_config.json", "processor_config.json"]],
  ])("%s gives transformers' pixels", async (name, names) => {
    const clip = await Clip.load([...(await filesOf(`${folder}/${name}`, names)), await weights()], {
      device: "cpu",
      towers: "image",
    });
    expect(clip.info.warnings).toEqual([]);
    const pixels = await clip.preprocess(await fixture(`${folder}/in.png`));
    expect([...pixels]).toEqual([...floats(await fixture(`${folder}/${name}.pixel_values.f32`))]);
    clip.dispose();
  });

  test("a file without an image processor defers to the older file", async () => {
    const names = ["config.json", "preprocessor_config.json"];
    const files = [...(await filesOf(`${folder}/v5-both`, names)), await weights()];
    const older = await Clip.load(files, { device: "cpu", towers: "image" });
    const both = await Clip.load(
      [...files, file("processor_config.json", '{"processor_class":"CLIPProcessor","x":1}')],
      {
        device: "cpu",
        towers: "image",
      },
    );
    expect(both.info.warnings).toEqual(["processor_config.json: x is not known and was not used"]);
    const picture = await fixture(`${folder}/in.png`);
    expect(await both.preprocess(picture)).toEqual(await older.preprocess(picture));
    for (const clip of [older, both]) clip.dispose();
  });
});

describe("OpenCLIP's cleaning", () => {
  const folder = "cases/text-clean";
  const siglip = async (
    name: string,
    change: (config: { model_cfg: { text_cfg: Record<string, unknown> } }) => void,
  ) => {
    const config = await json(`${folder}/${name}/open_clip_config.json`);
    change(config);
    return Clip.load(
      [
        file("open_clip_config.json", JSON.stringify(config)),
        ...(await filesOf(`${folder}/${name}`, ["tokenizer.json", "tokenizer_config.json"])),
        file("open_clip_model.safetensors", await fixture("models/siglip-p16/open_clip/open_clip_model.safetensors")),
      ],
      { device: "cpu", towers: "text" },
    );
  };

  test.each(["gemma-lower", "t5-canonicalize"])("%s: follows the config", async (name) => {
    const clip = await siglip(name, () => {});
    expect(clip.info.warnings).toEqual([]);
    for (const { text: caption, ids } of await json(`${folder}/${name}.expected.json`)) {
      expect([...(await clip.tokenize(caption))], JSON.stringify(caption)).toEqual(ids);
    }
    clip.dispose();
  });

  test("without tokenizer_kwargs: ftfy, entities and white space", async () => {
    const clip = await siglip("gemma-lower", ({ model_cfg }) => delete model_cfg.text_cfg.tokenizer_kwargs);
    for (const [caption, cleaned] of [
      ["  two   cats ", "two cats"],
      ["two cats &amp; two dogs", "two cats & two dogs"],
      ["itâ€™s New York", "it's New York"],
    ] as const) {
      expect(await clip.tokenize(caption), caption).toEqual(await clip.tokenize(cleaned));
    }
    expect(await clip.tokenize("A CAT")).not.toEqual(await clip.tokenize("a cat"));
    clip.dispose();
  });

  test.each(["gemma-lower", "t5-canonicalize"])(
    "%s: an export for transformers is cleaned alike when it is loaded here",
    async (name) => {
      const whole = await Clip.load(
        [
          file("open_clip_config.json", await fixture(`${folder}/${name}/open_clip_config.json`)),
          ...(await filesOf(`${folder}/${name}`, ["tokenizer.json", "tokenizer_config.json"])),
          file("open_clip_model.safetensors", await fixture("models/siglip-p16/open_clip/open_clip_model.safetensors")),
        ],
        { device: "cpu" },
      );
      const files = await whole.exportFiles("hf");
      const again = await Clip.load(
        files.map(({ name, data }) => file(name, data as Uint8Array<ArrayBuffer>)),
        { device: "cpu" },
      );
      expect(again.info.warnings).toEqual([]);
      for (const { text: caption, ids } of await json(`${folder}/${name}.expected.json`)) {
        expect([...(await again.tokenize(caption))], JSON.stringify(caption)).toEqual(ids);
      }
      for (const one of [whole, again]) one.dispose();
    },
  );

  test("tokenizer_kwargs override the sides in tokenizer_config.json; unsupported ones are refused", async () => {
    const right = await siglip("gemma-lower", () => {});
    const left = await siglip("gemma-lower", ({ model_cfg }) => {
      model_cfg.text_cfg.tokenizer_kwargs = { clean: "lower", padding_side: "left", truncation_side: "left" };
    });
    const ids = [...(await right.tokenize("a photo"))];
    const pads = ids.filter((id) => id === 0);
    expect([...(await left.tokenize("a photo"))]).toEqual([...pads, ...ids.filter((id) => id !== 0)]);
    const long = "one two three four five six seven eight nine ten cats";
    expect((await left.tokenize(long, { truncate: true })).at(-1)).toBe(1);
    expect(await left.tokenize(long, { truncate: true })).not.toEqual(await right.tokenize(long, { truncate: true }));
    for (const clip of [left, right]) clip.dispose();
    const refused = siglip("gemma-lower", ({ model_cfg }) => {
      model_cfg.text_cfg.tokenizer_kwargs = { clean: "upper" };
    });
    await expect(refused).rejects.toMatchObject({ code: "invalid-config", message: expect.stringContaining("clean") });
  });
});

test("a CLIP tokenizer with its own normalizer is followed, and exported with the model", async () => {
  const tokenizer = await json("tokenizer/mini/tokenizer.json");
  tokenizer.normalizer = { type: "Sequence", normalizers: [{ type: "NFC" }] }; // no lower-casing
  const config = await json("tokenizer/mini/tokenizer_config.json");
  const load = async (tokenizer_class: string) =>
    Clip.load(
      [
        ...(await filesOf(HF, ["config.json"])),
        file("tokenizer.json", JSON.stringify(tokenizer)),
        file("tokenizer_config.json", JSON.stringify({ ...config, tokenizer_class, padding_side: "left" })),
        await weights(),
      ],
      { device: "cpu" },
    );
  const [own, foreign] = [await load("CLIPTokenizer"), await load("PreTrainedTokenizerFast")];
  expect(await own.tokenize("A Cat")).toEqual(await own.tokenize("a cat"));
  expect(await foreign.tokenize("a cat")).toEqual(await own.tokenize("a cat"));
  expect(await foreign.tokenize("A Cat")).not.toEqual(await own.tokenize("A Cat"));
  const files = await foreign.exportFiles("hf");
  const again = await Clip.load(
    files.map(({ name, data }) => file(name, data as Uint8Array<ArrayBuffer>)),
    { device: "cpu" },
  );
  expect(await again.tokenize("A Cat <|endoftext|>")).toEqual(await foreign.tokenize("A Cat <|endoftext|>"));
  for (const clip of [own, foreign, again]) clip.dispose();
});

test("every key that transformers reads of other tokenizers is known, and no other", async () => {
  const { keys } = await json("config/keys.json");
  const known: string[] = keys["tokenizer_config.json"];
  const folder = "tokenizer/gemma-mini";
  const clip = await Clip.load(
    {
      weights: await fixture("models/siglip-p16/hf/model.safetensors"),
      config: await json("models/siglip-p16/hf/config.json"),
      tokenizer: await json(`${folder}/tokenizer.json`),
      tokenizerConfig: {
        ...Object.fromEntries(known.map((key) => [key, null])),
        ...(await json(`${folder}/tokenizer_config.json`)),
        wobble: 1,
        model_max_length: 8,
        pad_token: null,
      },
    },
    { device: "cpu", towers: "text" },
  );
  expect(known.length).toBeGreaterThan(50);
  expect(clip.info.warnings).toEqual([
    expect.stringContaining("pad_token is null"),
    "tokenizer_config.json: wobble is not known and was not used",
    expect.stringContaining("model_max_length is 8"),
  ]);
  expect((await clip.tokenize("a")).at(-1)).toBe(0);
  clip.dispose();
});

describe("added tokens", () => {
  const folder = "cases/added-tokens";
  test.each([
    ["added", ["config.json", "tokenizer.json", "tokenizer_config.json"]],
    ["slow", ["config.json", "added_tokens.json", "merges.txt", "tokenizer_config.json", "vocab.json"]],
  ])("%s gives transformers' ids, also after each export", async (name, names) => {
    const clip = await Clip.load([...(await filesOf(`${folder}/${name}`, names)), await weights()], {
      device: "cpu",
      towers: "both",
    });
    expect(clip.info.warnings).toEqual([]);
    const files = await clip.exportFiles("hf");
    const exported = [
      clip,
      await Clip.load(
        files.map(({ name, data }) => file(name, data as Uint8Array<ArrayBuffer>)),
        { device: "cpu" },
      ),
      await Clip.load(await clip.exportSafetensors("hf"), { device: "cpu" }),
      await Clip.load(
        (await clip.exportFiles("open_clip")).map(({ name, data }) => file(name, data as Uint8Array<ArrayBuffer>)),
        { device: "cpu" },
      ),
    ];
    for (const { text: caption, ids } of await json(`${folder}/${name}.expected.json`)) {
      for (const [i, one] of exported.entries()) {
        expect([...(await one.tokenize(caption))], `${i}: ${caption}`).toEqual(ids);
      }
    }
    const { added_tokens_decoder } = JSON.parse(
      new TextDecoder().decode(files.find(({ name }) => name === "tokenizer_config.json")?.data),
    );
    expect(Object.keys(added_tokens_decoder)).toEqual(["1022", "1023", "1024", "1025"]);
    for (const one of exported) one.dispose();
  });

  test("tokens without an embedding cause a warning, and are refused in texts", async () => {
    const files = await filesOf(`${folder}/added`, ["tokenizer.json", "tokenizer_config.json"]);
    const tokenizer = JSON.parse(await (files[0] as File).text());
    // two more than the model's vocabulary
    tokenizer.added_tokens.push(
      ...[1026, 1027].map((id) => ({ ...tokenizer.added_tokens[2], id, content: `<more-${id}>` })),
    );
    const config = file("config.json", await fixture(`${folder}/added/config.json`));
    const clip = await Clip.load(
      [config, file("tokenizer.json", JSON.stringify(tokenizer)), files[1] as File, await weights()],
      { device: "cpu" },
    );
    expect(clip.info.warnings).toEqual([expect.stringContaining('"<more-1026>", "<more-1027>"')]);
    expect((await clip.encodeText("a <cat-toy>")).shape[0]).toBe(1);
    await expect(clip.encodeText("a <more-1026>")).rejects.toMatchObject({ code: "token-out-of-range" });
    clip.dispose();
  });

  test("unknown settings of tokenizer_config.json cause a warning", async () => {
    const config = await json(`${HF}/config.json`);
    const clip = await Clip.load(
      [
        file("config.json", JSON.stringify({ ...config, wobble: 1 })),
        file("tokenizer_config.json", JSON.stringify({ pad_token: "!", jiggle: true, model_max_length: 32 })),
        file("merges.txt", await text("tokenizer/mini/merges.txt")),
        await weights(),
      ],
      { device: "cpu", towers: "text" },
    );
    expect(clip.info.warnings).toEqual([
      "config: wobble is not known and was not used",
      "tokenizer_config.json: jiggle is not known and was not used",
      expect.stringContaining("model_max_length is 32"),
    ]);
    // OWL-ViT pads with an ordinary token
    expect([...(await clip.tokenize("wow! a cat")).subarray(0, 10)]).toEqual([
      1022, 86, 78, 342, 0, 320, 66, 536, 1023, 0,
    ]);
    clip.dispose();
  });
});
