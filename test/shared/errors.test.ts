/** Bad input: a code and a message for each, and a worker that lives on with nothing lost. */

import { Clip, ClipError, ClipTrainer, type FitOptions, type PairSource, webDataset } from "clipwright";
import { packTar } from "modern-tar";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourPairs, failure, fixture, sameBytes, text, tinyConfig } from "../support";

const settings: FitOptions = { batchSize: 8, epochs: 1, warmup: 0 };

describe("while a trainer lives on", () => {
  let trainer: ClipTrainer;
  let before: Uint8Array;

  beforeAll(async () => {
    trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
    for await (const _ of trainer.fit(colourPairs(16), settings));
    before = await trainer.exportSafetensors();
  });
  afterAll(() => trainer.dispose());

  const train =
    (pairs: PairSource, options: FitOptions = {}) =>
    async () => {
      for await (const _ of trainer.fit(pairs, { ...settings, ...options }));
    };
  const pair = (image: unknown, caption: unknown = "red 0") =>
    [...colourPairs(4), { image, text: caption }] as PairSource;
  const onePixel = { data: new Uint8Array(3), width: 1, height: 1 };
  const long = "a caption of many more words than fit";

  const cases: [string, () => Promise<unknown>, string, RegExp][] = [
    ["empty batch", () => trainer.encodeImage([]), "empty-batch", /at least 1 image, got 0/],
    ["no texts", () => trainer.encodeText([]), "empty-batch", /at least 1 text, got 0/],
    ["no pairs", train([]), "empty-batch", /at least 1 pair, got 0/],
    ["batch of one", train(colourPairs(4), { batchSize: 1 }), "batch-too-small", /at least 2 pairs.*got 1/],
    ["a single pair", train(colourPairs(1)), "batch-too-small", /at least 2 pairs.*got 1/],
    ["batch of zero", train(colourPairs(4), { batchSize: 0 }), "empty-batch", /got 0/],
    [
      "half a batch",
      train(colourPairs(4), { batchSize: 2.5 }),
      "invalid-option",
      /batchSize: expected a whole number.*got 2.5/,
    ],
    ["long caption", () => trainer.encodeText(long), "caption-too-long", /at most 8 tokens with start and end, got 32/],
    [
      "long caption in training",
      train(pair(colourPairs(1)[0]?.image, long)),
      "caption-too-long",
      /pair 4: .*at most 8 tokens/,
    ],
    [
      "zero-byte image",
      () => trainer.encodeImage(new Uint8Array()),
      "undecodable-image",
      /image 0: .*expected PNG, JPEG, WebP, GIF or BMP, got 0 bytes/,
    ],
    ["bytes of no image", () => trainer.encodeImage(new Uint8Array([1, 2, 3, 4])), "undecodable-image", /got 4 bytes/],
    ["zero-byte image in training", train(pair(new Uint8Array())), "undecodable-image", /pair 4: .*got 0 bytes/],
    ["1×1 image", () => trainer.encodeImage(onePixel), "image-too-small", /at least 2 pixels on a side, got 1×1/],
    ["1×1 image in training", train(pair(onePixel)), "image-too-small", /pair 4: .*got 1×1/],
    [
      "wrong buffer",
      () => trainer.encodeImage({ data: new Uint8Array(5), width: 2, height: 2 }),
      "shape-mismatch",
      /expected \[2, 2, 3\].*got 5 bytes/,
    ],
    ["a number as image", () => trainer.encodeImage(7 as never), "invalid-image", /expected encoded bytes.*got number/],
    ["a number as text", () => trainer.encodeText([7 as never]), "invalid-option", /expected strings, got number/],
    [
      "a pair without a text",
      train([{ image: onePixel } as never]),
      "invalid-dataset",
      /pair 0: expected .*got text: undefined/,
    ],
    ["a number as pairs", train(7 as never), "invalid-source", /expected an iterable.*got number/],
    [
      "mismatched counts",
      train({ images: [onePixel, onePixel], texts: ["one"] }),
      "count-mismatch",
      /as many texts as images \(2\), got 1/,
    ],
    [
      "NaN learning rate",
      train(colourPairs(4), { lr: Number.NaN }),
      "invalid-option",
      /lr: expected a finite number above 0, got NaN/,
    ],
    [
      "learning rate 1e39",
      train(colourPairs(4), { lr: 1e39 }),
      "invalid-option",
      /lr: expected .* to 3.4e38, got 10{39}$/,
    ],
    ["learning rate 1e-300", train(colourPairs(4), { lr: 1e-300 }), "invalid-option", /lr: expected .*1.2e-38/],
    ["epsilon 1e-300", train(colourPairs(4), { epsilon: 1e-300 }), "invalid-option", /epsilon: expected .*1.2e-38/],
    ["weight decay 1e39", train(colourPairs(4), { weightDecay: 1e39 }), "invalid-option", /weightDecay: .*3.4e38/],
    ["Muon's rate", train(colourPairs(4), { muon: { lr: 1e39 } }), "invalid-option", /muon.lr: .*3.4e38/],
    ["clipNorm 1e-300", train(colourPairs(4), { clipNorm: 1e-300 }), "invalid-option", /clipNorm: .*1.2e-38/],
    ["negative learning rate", train(colourPairs(4), { lr: -1 }), "invalid-option", /lr: .*got -1/],
    ["beta of 1", train(colourPairs(4), { beta2: 1 }), "invalid-option", /beta2: expected 0 ≤ beta2 < 1, got 1/],
    [
      "unknown schedule",
      train(colourPairs(4), { schedule: "step" as never }),
      "invalid-option",
      /schedule: expected cosine, linear or constant, got "step"/,
    ],
    [
      "unknown layout",
      () => trainer.exportSafetensors("onnx" as never),
      "invalid-option",
      /layout: expected hf or open_clip, got "onnx"/,
    ],
    ["a seed with a fraction", train(colourPairs(4), { seed: 0.5 }), "invalid-option", /seed: .*got 0.5/],
    ["evaluating nothing", () => trainer.evaluate([]), "empty-batch", /at least 1/],
    [
      "ids outside the vocabulary",
      () => trainer.encodeText({ inputIds: new Int32Array(8).fill(60000) }),
      "token-out-of-range",
      /below \d+, got 60000/,
    ],
    [
      "pixels of another size",
      () => trainer.encodeImage({ pixelValues: new Float32Array(7) }),
      "shape-mismatch",
      /\[n, 3, 16, 16\], got 7 values/,
    ],
    [
      "mismatched counts in numbers",
      () => trainer.gradients({ pixelValues: new Float32Array(2 * 768), inputIds: new Int32Array(24) }),
      "count-mismatch",
      /as many texts as images \(2\), got 3/,
    ],
    [
      "a NaN loss",
      () =>
        trainer.trainStep(
          { pixelValues: new Float32Array(2 * 768).fill(Number.NaN), inputIds: new Int32Array(16) },
          { lr: 1 },
        ),
      "loss-not-finite",
      /expected a finite loss at step \d+, got NaN; the weights and the optimiser are as they were before/,
    ],
  ];

  test.each(cases)("%s", async (_, call, code, message) => {
    const error = await failure(call);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error).toBeInstanceOf(ClipError);
    // the worker lives, and the weights are unchanged
    expect(sameBytes(await trainer.exportSafetensors(), before)).toBe(true);
  });

  test("a bad image of a shard is named", async () => {
    const shard = await packTar([
      { header: { name: "good.png", size: 3 }, body: new Uint8Array([1, 2, 3]) },
      { header: { name: "good.txt", size: 3 }, body: "red" },
    ]);
    const error = await failure(train(webDataset(shard)));
    expect(error.code).toBe("undecodable-image");
    expect(error.message).toMatch(/pair 0 \(good\): .*expected PNG, JPEG, WebP, GIF or BMP, got 3 bytes/);
  });

  test("a second fit while one runs", async () => {
    let first = 0;
    for await (const { step } of trainer.fit(colourPairs(16), { ...settings, epochs: 2 })) {
      first = step;
      const error = await failure(train(colourPairs(4)));
      expect(error.code).toBe("already-training");
      expect(error.message).toMatch(/end or stop the running fit\(\) first/);
    }
    expect(first).toBe(4);
    await train(colourPairs(16))();
  });
});

test("use after dispose, and dispose in the middle of a call", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const running = failure(async () => {
    for await (const _ of trainer.fit(colourPairs(64), { ...settings, epochs: 1000 }));
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  trainer.dispose();
  expect((await running).code).toBe("disposed");
  for (const call of [() => trainer.encodeText("red"), () => trainer.exportSafetensors(), () => trainer.memory()]) {
    const error = await failure(call);
    expect(error.code).toBe("disposed");
    expect(error.message).toMatch(/was disposed of: load it again/);
  }
});

test("encoding before the vocabulary is known", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const error = await failure(trainer.encodeText("red"));
  expect(error.code).toBe("no-weights");
  expect(error.message).toMatch(/call fit\(\) first, or set text\.vocabSize/);
  for await (const _ of trainer.fit(colourPairs(8), settings));
  expect((await trainer.encodeText("red 0")).shape).toEqual([1, 16]);
  trainer.dispose();
});

const bad = { ...tinyConfig, vision: { ...tinyConfig.vision, heads: 3 } };
test.each([
  [
    "heads that do not divide the width",
    { config: bad },
    "invalid-config",
    /vision.heads: expected a divisor of the width 16, got 3/,
  ],
  ["no config", {}, "invalid-config", /takes config.* or from.*: give one/],
  [
    "an unknown device",
    { config: tinyConfig, device: "tpu" },
    "invalid-option",
    /expected auto, webgpu or cpu, got "tpu"/,
  ],
  [
    "an unknown tokenizer",
    { config: tinyConfig, tokenizer: "bert" },
    "invalid-option",
    /expected open_clip, openai, hf or hf_normalized, got "bert"/,
  ],
  ["a negative seed", { config: tinyConfig, seed: -1 }, "invalid-option", /got -1/],
])("creating with %s", async (_, options, code, message) => {
  const error = await failure(ClipTrainer.create({ device: "cpu", ...options } as never));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});

describe("loading", () => {
  test("files that are no checkpoint, or not of this config", async () => {
    const weights = await fixture("models/clip-quickgelu-p8/hf/model.safetensors");
    const config = await text("models/clip-quickgelu-p8/hf/config.json");
    const cases: [unknown, string, RegExp][] = [
      [new Uint8Array([1, 2, 3]), "invalid-checkpoint", /./],
      [weights, "invalid-checkpoint", /no config beside the weights or in their metadata/],
      [weights.subarray(0, weights.length - 9), "invalid-checkpoint", /./],
      [{ weights, config: "{" }, "invalid-config", /./],
      [
        { weights, config: config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3') },
        "missing-tensor",
        /the checkpoint has no .*layers\.2/,
      ],
      [
        { weights, config: config.replace('"projection_dim": 40', '"projection_dim": 41') },
        "shape-mismatch",
        /expected \[41, .*got \[40, /,
      ],
      [{ weights, config, merges: "a b c\nx" }, "invalid-tokenizer", /line 1/],
      [7, "invalid-source", /safetensors bytes or a Blob of them, got number/],
    ];
    for (const [source, code, message] of cases) {
      const error = await failure(Clip.load(source as never, { device: "cpu" }));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
    }
  });

  test("a checkpoint without a tokenizer takes ids but no texts", async () => {
    const clip = await Clip.load(
      {
        weights: await fixture("models/clip-quickgelu-p8/hf/model.safetensors"),
        config: await text("models/clip-quickgelu-p8/hf/config.json"),
      },
      { device: "cpu" },
    );
    expect((await failure(clip.encodeText("a cat"))).code).toBe("invalid-tokenizer");
    expect((await clip.encodeText({ inputIds: new Int32Array(77).fill(1) })).shape).toEqual([1, 40]);
    clip.dispose();
  });
});
