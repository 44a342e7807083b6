/** Pillow's pixels and the references' token ids through the whole chain. */

import { Clip, ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { fixture, json, maxError, text } from "../support";

const folder = "models/clip-quickgelu-p8";
const openClip = {
  weights: `${folder}/open_clip/open_clip_model.safetensors`,
  config: `${folder}/open_clip/open_clip_config.json`,
};

// key of the manifest, the model's files, and a transform of the caller's
const transforms = [
  ["rgb8/open_clip", openClip, undefined],
  ["rgb8/hf", { weights: `${folder}/hf/model.safetensors`, config: `${folder}/hf/config.json` }, undefined],
  [
    "rgb8/siglip",
    openClip,
    {
      image_processor_type: "SiglipImageProcessor",
      size: { height: 32, width: 32 },
      do_center_crop: false,
      resample: 3,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    },
  ],
  [
    "rgb8/bilinear_unit",
    openClip,
    { interpolation: "bilinear", resize_mode: "shortest", mean: [0, 0, 0], std: [1, 1, 1] },
  ],
] as const;

test.each(transforms)("images become the tensors of %s", async (key, { weights, config }, preprocess) => {
  const clip = await Clip.load(
    { weights: await fixture(weights), config: await text(config), ...(preprocess && { preprocess }) },
    { device: "cpu", towers: "image" },
  );
  const { images } = await json("preprocess/manifest.json");
  let compared = 0;
  for (const { decoded, decoded_size, golden } of images) {
    if (decoded_size[0] === 1 && decoded_size[1] === 1) continue; // the API refuses it
    const pixels = await clip.preprocess(await fixture(`preprocess/${decoded}`));
    const expected = new Float32Array((await fixture(`preprocess/${golden[32][key].file}`)).buffer);
    // bit for bit, except for rounding in the normalisation
    expect(maxError(pixels, expected), decoded).toBeLessThanOrEqual(1e-6);
    compared++;
  }
  expect(compared).toBeGreaterThanOrEqual(11);
  clip.dispose();
});

test.each(["open_clip", "hf"] as const)("captions become the token ids of %s", async (reference) => {
  // the published vocabulary, which the package contains
  const trainer = await ClipTrainer.create({
    config: {
      embedDim: 4,
      vision: { imageSize: 8, patchSize: 8, width: 4, layers: 1, heads: 1 },
      text: { contextLength: 77, vocabSize: 49408, width: 4, layers: 1, heads: 1 },
    },
    tokenizer: reference,
    device: "cpu",
  });
  const rows = (await text("tokenizer/cases.jsonl"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const gated = rows.filter(({ touches }) => !touches?.includes("newer_unicode"));
  expect(gated).toHaveLength(519);
  const ids = await trainer.tokenize(
    gated.map((row) => row.text),
    { truncate: true },
  );
  gated.forEach((row, i) => {
    expect([...ids.subarray(77 * i, 77 * (i + 1))], JSON.stringify(row.text)).toEqual(row[reference]);
  });
  // JavaScript strings may contain lone surrogates
  const lone = (await text("tokenizer/cases_js_surrogates.jsonl"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const loneIds = await trainer.tokenize(
    lone.map((row) => row.text),
    { truncate: true },
  );
  lone.forEach((row, i) => {
    expect([...loneIds.subarray(77 * i, 77 * (i + 1))], JSON.stringify(row.text)).toEqual(row[reference]);
  });
  trainer.dispose();
});
