/** Folders for PyTorch's libraries; `npm run check:export` loads them with the libraries themselves. */

import { Clip, ClipTrainer } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, maxError, tinyConfig } from "../support";

const pairs = colourPairs(8);

test.each(["hf", "open_clip"] as const)(
  "a folder of %s is complete: what is loaded from it answers alike",
  async (layout) => {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });
    await expect(trainer.exportFiles(layout)).rejects.toMatchObject({ code: "no-weights" });
    for await (const _ of trainer.fit(pairs, { batchSize: 8, epochs: 2 }));
    const files = await trainer.exportFiles(layout);
    const tokenizer = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    const expected = {
      hf: ["config.json", "preprocessor_config.json", "model.safetensors", ...tokenizer],
      open_clip: ["open_clip_config.json", "open_clip_model.safetensors", ...tokenizer],
    }[layout];
    expect(files.map(({ name }) => name)).toEqual(expected);
    const clip = await Clip.load(
      files.map(({ name, data }) => new File([data as Uint8Array<ArrayBuffer>], name)),
      { device: "cpu" },
    );
    expect(clip.info.warnings).toEqual([]);
    const texts = pairs.map(({ text }) => text);
    const images = pairs.map(({ image }) => image);
    expect(maxError((await clip.encodeText(texts)).data, (await trainer.encodeText(texts)).data)).toBeLessThan(1e-6);
    expect(maxError((await clip.encodeImage(images)).data, (await trainer.encodeImage(images)).data)).toBeLessThan(
      1e-6,
    );
    clip.dispose();
    trainer.dispose();
  },
);

test("a model that a layout cannot express is refused", async () => {
  const sigmoid = await ClipTrainer.create({ config: { ...tinyConfig, objective: "sigmoid" }, device: "cpu" });
  for await (const _ of sigmoid.fit(pairs, { batchSize: 8, epochs: 1 }));
  await expect(sigmoid.exportFiles("open_clip")).rejects.toMatchObject({ code: "invalid-option" });
  await expect(sigmoid.exportFiles("tf" as "hf")).rejects.toMatchObject({ code: "invalid-option" });
  sigmoid.dispose();
});
